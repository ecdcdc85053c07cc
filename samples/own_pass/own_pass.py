"""A pass of your own in the same list as onnxq's: remove Relu after Relu.

    python samples/own_pass/own_pass.py

The pass says that it is exact, so `onnxq.run` compares the outputs before and after, and would
take it back if they differed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnxq
from onnxq.graph import is_output, producer, remove_nodes, replace_uses
from onnxq.rules import FuseBatchNorm


@dataclass(frozen=True)
class RemoveSecondRelu:
    """max(max(x, 0), 0) = max(x, 0)."""

    exact: ClassVar[bool] = True

    def apply(self, model: onnxq.Model) -> Iterator[onnxq.Applied | onnxq.Refused]:
        """Let the readers of the second Relu read the first."""
        done = []
        for node in model.nodes:
            first = producer(node.inputs[0]) if node.op == "Relu" else None
            if first is None or first.op != "Relu":
                continue
            if is_output(model, node.outputs[0]):
                yield onnxq.Refused(node.name, "its output is an output of the model")
                continue
            replace_uses(node.outputs[0], node.inputs[0])
            done.append(node)
            yield onnxq.Applied(node.name, f"removed: '{first.name}' before it does the same")
        remove_nodes(model, done)


def main() -> None:
    """Run it after BatchNorm fusion on the digits model."""
    digits = Path(__file__).parent.parent / "digits" / "model.onnx"
    result = onnxq.run(digits, [FuseBatchNorm(), RemoveSecondRelu()])
    for report in result.reports:
        print(f"{report.name}: {len(report.applied)} applied, {len(report.refused)} refused")
        for event in report.applied:
            print(f"  {event.node}: {event.what}")
    print(f"outputs changed by {result.parity:.1e} ({result.parity_note})")


if __name__ == "__main__":
    main()
