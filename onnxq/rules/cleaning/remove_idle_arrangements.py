"""Operators that arrange a tensor the way it already is are removed.

1. Reshape, Flatten, Squeeze, Unsqueeze, Expand and Tile whose result has the input's shape,
   free dimensions included (equal terms are equal numbers).
2. Transpose that keeps the order of the axes.
3. Slice from the first to the last element of every axis, in steps of 1.
4. Pad by nothing on every side.
5. Gather of all positions of an axis, in order.
6. DepthToSpace and SpaceToDepth of blocks of 1.

Near misses: pads of 0 that may be overridden at run time, and positions in another order.

Definitions: ONNX operators. An end of 2**31 - 1 or more in a Slice means the last element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Constant, Node, read
from onnxq.passes import Event, Refused
from onnxq.passes.dimensions import ENDLESS, integers, operand, slice_bounds
from onnxq.rules.cleaning.bypass import Idle, bypass, same_shape
from onnxq.rules.reasons import is_default, varies
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class RemoveIdleArrangements(Rule):
    """Remove Reshape, Transpose, Slice and their like that change nothing."""

    operators: ClassVar[frozenset[str]] = frozenset(
        [
            "DepthToSpace",
            "Expand",
            "Flatten",
            "Gather",
            "Pad",
            "Reshape",
            "Slice",
            "SpaceToDepth",
            "Squeeze",
            "Tile",
            "Transpose",
            "Unsqueeze",
        ]
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read the node's input."""
        idle = _IDLE.get(node.op, _keeps_shape)(work, node)
        if isinstance(idle, str):
            return Refused(node.name, idle)
        if not idle:
            return None
        return bypass(work, node, node.inputs[0], f"{node.op} that changes nothing was removed")


def _keeps_shape(work: Workspace, node: Node) -> bool:
    return same_shape(work, node.inputs[0], node.outputs[0])


def _transpose(work: Workspace, node: Node) -> bool:
    rank = work.rank(node.inputs[0])
    order = node.attrs.get("perm", None if rank is None else list(range(rank))[::-1])
    return order is not None and list(order) == sorted(order)


def _slice(work: Workspace, node: Node) -> bool:
    source = node.inputs[0]
    shape = work.shape(source)
    bounds = slice_bounds(work, node, None if shape is None else len(shape))
    if bounds is None or any(step != 1 for _, _, step in bounds.values()):
        return False
    return same_shape(work, source, node.outputs[0]) or all(
        start == 0 and isinstance(end, int) and end >= ENDLESS for start, end, _ in bounds.values()
    )


def _pad(work: Workspace, node: Node) -> Idle:
    given = work.input(node, 1)
    if isinstance(given, Constant) and is_default(given) and not read(given).any():
        return varies(given)
    pads = operand(work, node, 1, "pads")
    return bool(pads) and not any(pads or ())


def _gather(work: Workspace, node: Node) -> Idle:
    shape, indices = work.shape(node.inputs[0]), integers(work, node.inputs[1])
    if not shape or indices is None or work.rank(node.inputs[1]) != 1:
        return False
    axis, every = int(node.attrs.get("axis", 0)), list(range(len(indices)))
    places = [index % len(indices) for index in indices]
    if shape[axis] != len(indices) or sorted(places) != every:
        return False
    return places == every or f"takes all positions of axis {axis}, but not in order"


def _blocks(_: Workspace, node: Node) -> bool:
    return bool(node.attrs.get("blocksize") == 1)


_IDLE: Mapping[str, Callable[[Workspace, Node], Idle]] = {
    "DepthToSpace": _blocks,
    "Gather": _gather,
    "Pad": _pad,
    "Slice": _slice,
    "SpaceToDepth": _blocks,
    "Transpose": _transpose,
}
