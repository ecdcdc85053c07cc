"""Slice and Gather around an affine map.

1. Before them, constants are sliced and gathered as the elements are.
2. After them, a map goes back along axes that they leave alone; the rows of a table that is a
   constant take it themselves.
3. Where several pick different places of one tensor, as queries, keys and values, the map of
   one of them goes back as a map that leaves all other places as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Affine, Array, normal_axes, of_rank, varying
from onnxq.rules.folding.plan import Plan
from onnxq.rules.folding.planner import ASKS_FOR_SHAPE, Planner
from onnxq.rules.reasons import also_read
from onnxq.rules.workspace import Workspace

_MOST_READERS = 16


@dataclass(frozen=True, eq=False)
class _Pick:
    """Places along one axis.

    Attributes:
        axis: The axis.
        length: Its length.
        places: What is picked of it: [n], or a single place, whose axis goes.
    """

    axis: int
    length: int
    places: Array


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Slice or Gather gives the map: its input must."""
    if planner.is_read_by_one(node.inputs[0]) or not node.inputs[0].inputs:
        back = _back(planner.work, node, affine)
        if back is not None:
            return planner.operand(node, 0, back)
    pick = _pick(planner.work, node)
    if pick is None:
        return f"'{node.name}' ({node.op}) picks from what the constants tell apart"
    if not _are_apart(planner.work, node, pick):
        return also_read(node.inputs[0])
    rank = planner.work.rank(node.inputs[0])
    factor = _spread(affine.factor, pick, rank, 1.0)
    whole = affine.moved(factor, _spread(affine.addend, pick, rank, 0.0))
    if whole is None:
        return f"'{node.name}' ({node.op}) picks a place twice"
    return planner.computed(node.inputs[0], whole)


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Slice or Gather takes the map: those behind take what it picks."""
    if index != 0:
        return f"it is a parameter of '{node.name}'"
    move = _sliced if node.op == "Slice" else _gathered
    factor = move(planner.work, node, affine.factor)
    picked = affine.moved(factor, move(planner.work, node, affine.addend))
    if picked is None:
        return f"what '{node.name}' ({node.op}) picks is computed"
    return planner.readers(node.outputs[0], picked)


def _back(work: Workspace, node: Node, affine: Affine) -> Affine | None:
    """The map of the input, if it depends on no axis that is picked from."""
    if affine.is_uniform:
        return affine
    axes = _picked_axes(work, node)
    if axes is None:
        return None
    if node.op == "Slice":
        return None if affine.axes & set(axes) else affine
    axis, added = axes[0], work.rank(node.inputs[1])
    if added is None or affine.axes & set(range(axis, axis + added)):
        return None
    return Affine(_narrowed(affine.factor, axis, added), _narrowed(affine.addend, axis, added))


def _narrowed(coefficient: Array, axis: int, added: int) -> Array:
    if coefficient.ndim == 0:
        return coefficient
    shape = coefficient.shape
    return coefficient.reshape(*shape[:axis], 1, *shape[axis + added :])


def _picked_axes(work: Workspace, node: Node) -> list[int] | None:
    rank = work.rank(node.inputs[0])
    axes = _parameter(work, node, "axes", 3) if node.op == "Slice" else None
    if node.op == "Gather":
        axes = [int(node.attrs.get("axis", 0))]
    return None if axes is None or rank is None else normal_axes(axes, rank)


def _parameter(work: Workspace, node: Node, name: str, index: int) -> list[int] | None:
    """An attribute (before opset 10) or input of Slice; None if absent or computed."""
    if name in node.attrs:
        return list(node.attrs[name])
    value = work.value(work.input(node, index))
    return None if value is None else [int(v) for v in value.reshape(-1)]


def _slices(work: Workspace, node: Node) -> dict[int, slice] | None:
    """What Slice takes of each axis; None if that is computed."""
    axes = _picked_axes(work, node)
    starts, ends = _parameter(work, node, "starts", 1), _parameter(work, node, "ends", 2)
    steps = _parameter(work, node, "steps", 4)
    if axes is None or starts is None or ends is None:
        return None
    if steps is None and work.input(node, 4) is not None:
        return None
    parts = zip(axes, starts, ends, steps or [1] * len(axes), strict=True)
    return {axis: slice(start, end, step) for axis, start, end, step in parts}


def _sliced(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    axes = _picked_axes(work, node)
    if coefficient.ndim == 0 or (axes is not None and not varying(coefficient) & set(axes)):
        return coefficient
    slices = _slices(work, node)
    if slices is None:
        return None
    depends = varying(coefficient)
    index = [
        slices.get(a, slice(None)) if a in depends else slice(None) for a in range(coefficient.ndim)
    ]
    result = coefficient[tuple(index)]
    return result if result.size else None


def _gathered(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    if coefficient.ndim == 0:
        return coefficient
    axis = normal_axes([int(node.attrs.get("axis", 0))], coefficient.ndim)[0]
    if axis in varying(coefficient):
        indices = work.value(node.inputs[1])
        return None if indices is None else coefficient.take(indices, axis)
    added = work.rank(node.inputs[1])
    if added is None:
        return None
    shape = coefficient.shape
    return coefficient.reshape(*shape[:axis], *[1] * added, *shape[axis + 1 :])


def _pick(work: Workspace, node: Node) -> _Pick | None:
    """What a node picks of its input, if that is known and along one axis."""
    axes, shape = _picked_axes(work, node), work.shape(node.inputs[0])
    if axes is None or shape is None or len(axes) != 1:
        return None
    length = shape[axes[0]]
    if not isinstance(length, int):
        return None
    if node.op == "Slice":
        slices = _slices(work, node)
        return (
            None if slices is None else _Pick(axes[0], length, np.arange(length)[slices[axes[0]]])
        )
    indices = work.value(node.inputs[1])
    if indices is None or indices.ndim > 1:
        return None
    return _Pick(axes[0], length, indices % length)


def _are_apart(work: Workspace, node: Node, pick: _Pick) -> bool:
    """Whether all others that read the same tensor pick other places."""
    readers = work.readers(node.inputs[0])
    if readers is None or len(readers) > _MOST_READERS:
        return False
    for reader in readers:
        if reader is node or reader.op in ASKS_FOR_SHAPE:
            continue
        other = _pick(work, reader) if reader.op in ("Slice", "Gather") else None
        if (
            other is None
            or other.axis != pick.axis
            or np.intersect1d(other.places, pick.places).size
        ):
            return False
    return True


def _spread(coefficient: Array, pick: _Pick, rank: int | None, neutral: float) -> Array | None:
    """A coefficient of what was picked, as one of the whole, `neutral` in all other places."""
    places = pick.places.reshape(-1)
    kept = coefficient
    if coefficient.ndim and pick.places.ndim == 0:
        kept = np.expand_dims(coefficient, pick.axis)
    own = of_rank(kept, rank)
    if own is None or rank is None or len(np.unique(places)) != len(places):
        return None
    shape = list(own.shape) if own.ndim else [1] * rank
    shape[pick.axis] = pick.length
    whole = np.full(shape, neutral)
    whole[(slice(None),) * pick.axis + (places,)] = own
    return whole
