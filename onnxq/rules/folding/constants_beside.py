"""Operators whose data an affine map passes if the constants beside the data change with it."""

from __future__ import annotations

from collections.abc import Callable

from onnxq.graph import Node
from onnxq.rules.folding.affine import Affine
from onnxq.rules.folding.plan import Plan, together
from onnxq.rules.folding.planner import Planner

Change = Callable[[Planner, Node, Affine], Plan]
"""The edit of a node's constants that lets its result see a map of its data, or why none can."""


def give_beside(planner: Planner, node: Node, affine: Affine, change: Change) -> Plan:
    """So that a node gives the map: its data must, and its constants."""
    changed = change(planner, node, affine)
    if isinstance(changed, str):
        return changed
    return together((changed, planner.operand(node, 0, affine)))


def take_beside(planner: Planner, node: Node, index: int, affine: Affine, change: Change) -> Plan:
    """So that a node takes the map: its constants undo it, and those behind take it."""
    inverse = affine.inverse()
    if index != 0 or inverse is None:
        return f"'{node.name}' ({node.op}) cannot undo it"
    changed = change(planner, node, inverse)
    if isinstance(changed, str):
        return changed
    return together((changed, planner.readers(node.outputs[0], affine)))
