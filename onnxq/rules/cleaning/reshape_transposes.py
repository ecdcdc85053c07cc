"""A Transpose that moves only axes of length 1 moves no data: it is a Reshape.

The order of the elements is that of the axes longer than 1, in the order in which they stand.
A Reshape costs nothing in the engine, and merges with its neighbours.

1. The axes that are not certainly of length 1 keep their order.
2. The result's shape is a constant target for the input: see `targets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.cleaning.merge_transposes import order_of
from onnxq.rules.cleaning.targets import become_reshape, target_of
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class ReshapeTransposes(Rule):
    """Turn Transposes that move no data into Reshapes."""

    operators: ClassVar[frozenset[str]] = frozenset(["Transpose"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Turn one into a Reshape."""
        shape, order = work.shape(node.inputs[0]), order_of(work, node)
        if shape is None or order is None or work.opset < 5:
            return None
        long = [axis for axis in order if shape[axis] != 1]
        if long != sorted(long):
            return None
        target = target_of(shape, tuple(shape[axis] for axis in order))
        if isinstance(target, str):
            return Refused(node.name, target)
        become_reshape(work, node, node.inputs[0], target)
        return Applied(node.name, "moves only axes of length 1 and became Reshape")
