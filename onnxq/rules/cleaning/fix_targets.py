"""Targets of Reshape and Expand that are computed from the input's own dimensions are constants.

Exporters compute targets from Shape, even where all that is free is copied:

    Reshape(x, Concat(Shape(x)[0], 12, 64))  =  Reshape(x, [0, 12, 64])

1. Reshape: every dimension of the result is a number, or equals the input's dimension in the
   same place, or is the only one left, which is -1.
2. Expand: every dimension is a number, or equals the input's (1 in the target leaves it).

Caveat: with -1, an input of no elements cannot be reshaped any more; so -1 is used together
with copied dimensions only where those come from the model's inputs alone.
Definitions: ONNX Reshape-5 (attribute allowzero since 14), Expand-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Constant, Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import Dimensions
from onnxq.rules.cleaning.targets import become_reshape, target_of
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FixTargets(Rule):
    """Write the targets of Reshape and Expand as constants."""

    operators: ClassVar[frozenset[str]] = frozenset(["Expand", "Reshape"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a computed target by a constant."""
        if len(node.inputs) != 2 or isinstance(node.inputs[1], Constant):
            return None
        source, result = work.shape(node.inputs[0]), work.shape(node.outputs[0])
        if source is None or result is None:
            return None
        find = target_of if node.op == "Reshape" else _expansion
        target = find(source, result)
        if isinstance(target, str):
            return Refused(node.name, target)
        if node.op == "Reshape":
            become_reshape(work, node, node.inputs[0], target)
        else:
            value = np.asarray(target, np.int64)
            work.rewire(node, 1, work.constant(f"{node.name}_shape", value))
        return Applied(node.name, f"its target is always {target}")


def _expansion(source: Dimensions, result: Dimensions) -> list[int] | str:
    padded = (1,) * (len(result) - len(source)) + source
    target: list[int] = []
    for axis, (before, after) in enumerate(zip(padded, result, strict=True)):
        if not isinstance(after, int) and (after is None or after != before):
            return f"dimension {axis} of its result is free"
        target.append(after if isinstance(after, int) else 1)
    return target
