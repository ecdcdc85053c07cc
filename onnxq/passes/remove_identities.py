"""Identity, and Dropout outside training, copy their input: readers take the input itself.

Dropout is the identity at inference (ONNX Dropout-12: training_mode false or absent; before
12 it had no training mode in inference graphs, except the is_test attribute of opset 1-6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Variable,
    is_output,
    read,
    remove_nodes,
    replace_uses,
    take_output,
)
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True)
class RemoveIdentities:
    """Remove Identity and inference-time Dropout from the main graph."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Rewire around each such node."""
        done: list[Node] = []
        for node in model.nodes:
            if node.op not in ("Identity", "Dropout") or not node.standard:
                continue
            reason = _obstacle(model, node)
            if reason:
                yield Refused(node.name, reason)
                continue
            _bypass(model, node)
            done.append(node)
            yield Applied(node.name, f"{node.op} was removed")
        remove_nodes(model, done)


def _obstacle(model: Model, node: Node) -> str:
    source, output = node.inputs[0], node.outputs[0]
    if node.op == "Dropout":
        if model.opset < 7:
            return "may be in training mode (opset below 7)"
        if any(t.name and (t.outputs or is_output(model, t)) for t in node.outputs[1:]):
            return "its mask is used"
        if len(node.inputs) > 2 and node.inputs[2].name and not _is_false(node.inputs[2]):
            return "may be in training mode"
    if not is_output(model, output):
        return ""
    if not isinstance(source, Variable) or not source.inputs or is_output(model, source):
        return f"joins the output '{output.name}' to a tensor that keeps its own name"
    return ""


def _is_false(tensor: object) -> bool:
    return isinstance(tensor, Constant) and not tensor.overridable and not read(tensor).any()


def _bypass(model: Model, node: Node) -> None:
    source, output = node.inputs[0], node.outputs[0]
    if not is_output(model, output):
        replace_uses(output, source)
        return
    # The output's name belongs to the model's users: the producer writes it directly.
    producer = source.inputs[0]
    index = next(i for i, t in enumerate(producer.outputs) if t is source)
    replace_uses(source, output, [r for r in source.outputs if r is not node])
    take_output(output, producer, index)
