"""Two Pads are one, if they pad with the same constant: their widths add up.

1. Both have the mode constant, the same constant value, and no negative widths.
2. Nobody else reads what is between.

Definition: ONNX Pad (attributes before 11, inputs since; input axes since 18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import integers, operand
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class MergePads(Rule):
    """Merge a Pad with the one before it."""

    operators: ClassVar[frozenset[str]] = frozenset(["Pad"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Add the widths of the first to the second."""
        first = work.producer(node.inputs[0], "Pad")
        if first is None or work.only_reader(node.inputs[0]) is None:
            return None
        values = _constant(work, first), _constant(work, node)
        if None in values or values[0] != values[1]:
            return Refused(node.name, f"{first.name} does not pad with the same constant")
        inner, outer = _widths(work, first), _widths(work, node)
        if inner is None or outer is None or min(*inner, *outer) < 0:
            return Refused(node.name, f"the widths of {first.name} are negative, or not known")
        widths = [a + b for a, b in zip(inner, outer, strict=True)]
        work.rewire(node, 0, first.inputs[0])
        if work.opset < 11:
            work.change(node, pads=widths)
        else:
            work.rewire(node, 1, work.constant(f"{node.name}_pads", np.asarray(widths, np.int64)))
            work.drop_inputs(node, 3)
        return Applied(node.name, f"merged with {first.name}")


def _constant(work: Workspace, node: Node) -> float | None:
    """What a Pad pads with; None if it is not one known number."""
    if node.attrs.get("mode", "constant") != "constant":
        return None
    given = work.input(node, 2)
    return float(node.attrs.get("value", 0.0)) if given is None else work.scalar(given)


def _widths(work: Workspace, node: Node) -> list[int] | None:
    """Widths before every axis, then after every axis."""
    pads, axes = operand(work, node, 1, "pads"), integers(work, work.input(node, 3))
    if work.input(node, 3) is None:
        return None if pads is None else list(pads)
    rank = work.rank(node.inputs[0])
    if pads is None or axes is None or rank is None:
        return None
    widths = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        widths[axis % rank] = pads[index]
        widths[axis % rank + rank] = pads[index + len(axes)]
    return widths
