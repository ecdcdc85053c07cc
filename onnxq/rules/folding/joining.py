"""Concat and Split, around an affine map.

1. Concat, after: each part takes its piece of the constants. Before: the constants of one part
   go on behind the join with factor 1 and addend 0 for all other parts.
2. Split, after one of its outputs: as Concat before. Before: each output takes its piece.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Affine, Array, normal_axes, varying
from onnxq.rules.folding.plan import Plan, together
from onnxq.rules.folding.planner import Planner

_UNKNOWN = "the sizes of the parts are not known"


def give_concat(planner: Planner, node: Node, tensor: Tensor, affine: Affine) -> Plan:
    """So that the join is the map of what it is now."""
    axis = _axis(planner, node, tensor)
    pieces = _pieces(planner, affine, node.inputs, axis)
    if isinstance(pieces, str):
        return pieces
    return together(
        (planner.operand(node, i, own) for i, own in enumerate(pieces)),
        of=node,
    )


def take_split(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Split takes its input for the map of it."""
    outputs = [t for t in node.outputs if t.name]
    axis = _axis(planner, node, node.inputs[0])
    pieces = _pieces(planner, affine, outputs, axis)
    if isinstance(pieces, str) or index != 0:
        return pieces if isinstance(pieces, str) else f"it is a parameter of '{node.name}'"
    return together(planner.readers(t, own) for t, own in zip(outputs, pieces, strict=True))


def take_concat(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that the join takes one of its parts for the map of it."""
    axis = _axis(planner, node, node.outputs[0])
    whole = _filled_up(planner, affine, node.inputs, index, axis)
    if isinstance(whole, str):
        return whole
    return planner.readers(node.outputs[0], whole)


def give_split(planner: Planner, node: Node, tensor: Tensor, affine: Affine) -> Plan:
    """So that one output of Split is the map of what it is now, and the others stay."""
    outputs = [t for t in node.outputs if t.name]
    index = next(i for i, t in enumerate(outputs) if t is tensor)
    axis = _axis(planner, node, node.inputs[0])
    whole = _filled_up(planner, affine, outputs, index, axis)
    if isinstance(whole, str):
        return whole
    return planner.operand(node, 0, whole)


def _axis(planner: Planner, node: Node, whole: Tensor) -> int | None:
    rank = planner.work.rank(whole)
    return None if rank is None else normal_axes([int(node.attrs.get("axis", 0))], rank)[0]


def _lengths(planner: Planner, parts: Sequence[Tensor], axis: int | None) -> list[int] | None:
    lengths: list[int] = []
    for tensor in parts:
        shape = planner.work.shape(tensor)
        length = None if shape is None or axis is None else shape[axis]
        if not isinstance(length, int):
            return None
        lengths.append(length)
    return lengths


def _pieces(
    planner: Planner, affine: Affine, parts: Sequence[Tensor], axis: int | None
) -> list[Affine] | str:
    """The map of the whole, seen by each part of it along `axis`."""
    if axis not in affine.axes:
        return [affine] * len(parts) if axis is not None or affine.is_uniform else _UNKNOWN
    lengths = _lengths(planner, parts, axis)
    if lengths is None or axis is None:
        return _UNKNOWN
    ends = np.cumsum(lengths)
    return [
        Affine.of(*(_cut(c, axis, end - n, end) for c in (affine.factor, affine.addend)))
        for n, end in zip(lengths, ends, strict=True)
    ]


def _cut(coefficient: Array, axis: int, first: int, last: int) -> Array:
    if axis not in varying(coefficient):
        return coefficient
    return coefficient.take(range(first, last), axis)


def _filled_up(
    planner: Planner, affine: Affine, parts: Sequence[Tensor], index: int, axis: int | None
) -> Affine | str:
    """The map of one part, seen by the whole: nothing changes in the other parts."""
    if len(parts) == 1:
        return affine
    rank = planner.work.rank(parts[index])
    lengths = _lengths(planner, parts, axis)
    if lengths is None or axis is None or rank is None:
        return _UNKNOWN
    before, after = sum(lengths[:index]), sum(lengths[index + 1 :])
    own = lengths[index]
    return Affine.of(
        _padded(affine.factor, axis, rank, before, own, after, 1.0),
        _padded(affine.addend, axis, rank, before, own, after, 0.0),
    )


def _padded(
    coefficient: Array, axis: int, rank: int, before: int, own: int, after: int, neutral: float
) -> Array:
    grown = coefficient.reshape((1,) * (rank - coefficient.ndim) + coefficient.shape)
    shape = list(grown.shape)
    shape[axis] = own
    widths = [(0, 0)] * rank
    widths[axis] = (before, after)
    return np.pad(np.broadcast_to(grown, shape), widths, constant_values=neutral)
