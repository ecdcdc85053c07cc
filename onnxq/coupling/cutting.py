"""Slice, Split, Gather, Pad and Concat cut labels apart and join them as they do tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling.arithmetic import python_slice, slice_bounds
from onnxq.coupling.factors import Factor, along
from onnxq.coupling.groups import Side
from onnxq.coupling.merging import merge, operand
from onnxq.coupling.moving import remember
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node


def pass_slice(walk: Walk, node: Node) -> None:
    """Slice, in steps of 1 where it cuts channels."""
    shape = walk.shape(node.inputs[0])
    bounds = None if shape is None else slice_bounds(node, walk.shapes.inputs(node), len(shape))
    factors = walk.factors(node.inputs[0])
    if not factors:
        remember(walk, node)
        return
    if bounds is None:
        stop(walk, node, "has bounds that are not known")
        return
    found = []
    for factor in factors:
        cut = {a: b for a, b in bounds.items() if a in factor.axes}
        if any(step != 1 for _, _, step in cut.values()):
            walk.freeze([factor], f"'{node.name}' (Slice) takes channels in steps")
        place = tuple(
            python_slice(*cut[a]) if a in cut else slice(None) for a in range(factor.labels.ndim)
        )
        moved = factor.moved(itemgetter(place))
        found.append(walk.cut(moved) if cut else moved)
    walk.emit(node.outputs[0], found)


def pass_split(walk: Walk, node: Node) -> None:
    """Split."""
    shape = walk.shape(node.inputs[0])
    outputs = [walk.shape(t) for t in node.outputs]
    factors = walk.factors(node.inputs[0])
    if shape is None or any(s is None for s in outputs):
        stop(walk, node, "has an unknown shape")
        return
    axis = node.attrs.get("axis", 0) % len(shape)
    ends = np.cumsum([0] + [s[axis] for s in outputs if s is not None]).tolist()
    before = (slice(None),) * axis
    places = [(*before, slice(a, b)) for a, b in pairwise(ends)]
    for index, tensor in enumerate(node.outputs):
        found = []
        for factor in factors:
            if axis in factor.axes:
                factor = walk.cut(factor.moved(itemgetter(places[index])))
            found.append(factor)
        walk.emit(tensor, found)
    remember(walk, node)


def pass_gather(walk: Walk, node: Node) -> None:
    """Gather: constant indices pick labels; others must not pick among channels."""
    data, indices = node.inputs[0], node.inputs[1]
    shape, picked = walk.shape(data), walk.shape(indices)
    factors = walk.factors(data)
    if not factors:
        remember(walk, node)
        return
    if shape is None or picked is None:
        stop(walk, node, "has an unknown shape")
        return
    axis = node.attrs.get("axis", 0) % len(shape)
    chosen = walk.shapes.value(indices) if walk.shapes.is_constant(indices) else None
    reason = f"'{node.name}' (Gather) picks among channels"
    found = []
    for factor in factors:
        if axis in factor.axes and (chosen is None or chosen.ndim != 1):
            factor = walk.forbid(factor, [axis], reason)
            if axis in factor.axes:
                continue
        if axis in factor.axes and chosen is not None:
            index = chosen.astype(np.int64)
            found.append(walk.cut(factor.moved(partial(np.take, indices=index, axis=axis))))
        else:
            found.append(factor.moved(lambda a: _replaced(a, axis, len(picked))))
    if not walk.shapes.is_constant(indices):
        # Rows of a table, looked up: the table computes them.
        for factor in found:
            walk.use(factor, Side.OUTPUT, node, masked=True)
        found = [Factor(f.labels, f.dead) for f in found]
    walk.emit(node.outputs[0], found)


def _replaced(array: NDArray[np.generic], axis: int, count: int) -> NDArray[np.generic]:
    """An axis of length 1 replaced by `count` of them."""
    return array.reshape(array.shape[:axis] + (1,) * count + array.shape[axis + 1 :])


def pass_pad(walk: Walk, node: Node) -> None:
    """Pad: what it adds beside channels stays."""
    shape, after = walk.shape(node.inputs[0]), walk.shape(node.outputs[0])
    factors = walk.flowing(node, 0)
    if not factors:
        remember(walk, node)
        return
    pads = _pads(walk, node, 0 if shape is None else len(shape))
    if shape is None or after is None:
        stop(walk, node, "has an unknown shape")
        return
    constant = node.attrs.get("mode", "constant") == "constant"
    fill = _fill(walk, node) if constant else np.nan
    found = []
    for factor in factors:
        grown = [a for a in factor.axes if shape[a] != after[a]]
        if grown and (pads is None or not constant or len(factor.axes) > 1):
            walk.freeze([factor], f"'{node.name}' (Pad) pads channels")
            continue
        around = any(shape[a] != after[a] for a in range(len(shape)) if a not in grown)
        dead = factor.dead
        if around and constant:
            dead = np.where(dead == fill, dead, np.nan)
        if grown and pads is not None:
            factor, dead = _padded(walk, node, factor, pads[grown[0]], dead)
        found.append(Factor(factor.labels, dead))
    walk.emit(node.outputs[0], found)


def _padded(
    walk: Walk, node: Node, factor: Factor, pads: tuple[int, int], dead: NDArray[np.float64]
) -> tuple[Factor, NDArray[np.float64]]:
    """A factor of one axis with what Pad adds to it."""
    (axis,) = factor.axes
    rank = factor.labels.ndim
    reason = f"'{node.name}' (Pad) adds it"
    parts: list[NDArray[np.int64]] = [factor.labels]
    values = [dead]
    for count, first in zip(pads, (True, False), strict=True):
        if count < 0:
            walk.freeze([factor], f"'{node.name}' (Pad) cuts channels off")
            return factor, dead
        extra = along(walk.labels.frozen(count, reason), axis, rank)
        place = 0 if first else len(parts)
        parts.insert(place, extra)
        values.insert(place, np.zeros(extra.shape))
    return Factor(np.concatenate(parts, axis), factor.dead), np.concatenate(values, axis)


def _pads(walk: Walk, node: Node, rank: int) -> dict[int, tuple[int, int]] | None:
    if len(node.inputs) > 1:
        given = walk.shapes.integers(node, 1)
    else:
        given = list(node.attrs.get("pads", node.attrs.get("paddings", [])))
    if given is None:
        return None
    axes = walk.shapes.integers(node, 3)
    chosen = [a % rank for a in axes] if axes is not None else list(range(rank))
    half = len(given) // 2
    return {a: (given[i], given[half + i]) for i, a in enumerate(chosen)} | {
        a: (0, 0) for a in range(rank) if a not in chosen
    }


def _fill(walk: Walk, node: Node) -> float:
    given = walk.shapes.input(node, 2)
    if given is None:
        return float(node.attrs.get("value", 0.0))
    value = walk.shapes.value(given)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else np.nan


def pass_concat(walk: Walk, node: Node) -> None:
    """Concat: labels stand one after another; what has no channels stays."""
    shapes = [walk.shape(t) for t in node.inputs]
    if any(s is None for s in shapes):
        stop(walk, node, "has an unknown shape")
        return
    known = [s for s in shapes if s is not None]
    axis = node.attrs["axis"] % len(known[0])
    inputs = [walk.flowing(node, i) for i in range(len(node.inputs))]
    parts = [_along(walk, node, factors, axis) for factors in inputs]
    others = [tuple(f for f in factors if axis not in f.axes) for factors in inputs]
    found = []
    if any(p is not None for p in parts):
        found.append(_joined(walk, node, parts, known, axis))
    rank = len(known[0])
    operands = []
    for tensor, shape, factors in zip(node.inputs, known, others, strict=True):
        flat = tuple(1 if a == axis else n for a, n in enumerate(shape))
        operands.append(operand(walk, tensor.name, flat, factors, rank))
    merged = merge(walk, node, operands, lambda values: _equal(values))
    walk.emit(node.outputs[0], [*found, *(Factor(f.labels, f.dead) for f in merged)])


def _equal(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    first = values[0]
    return np.where(np.all([v == first for v in values], 0), first, np.nan)


def _along(walk: Walk, node: Node, factors: Sequence[Factor], axis: int) -> Factor | None:
    """The one factor that depends on the axis that is joined."""
    found = [f for f in factors if axis in f.axes]
    if len(found) > 1:
        walk.freeze(found, f"'{node.name}' ({node.op}) joins channels of several kinds")
    return found[0] if len(found) == 1 else None


def _joined(
    walk: Walk,
    node: Node,
    parts: Sequence[Factor | None],
    shapes: Sequence[Sequence[int]],
    axis: int,
) -> Factor:
    wide = {a for p in parts if p is not None for a in p.axes} - {axis}
    labels, dead = [], []
    for tensor, part, shape in zip(node.inputs, parts, shapes, strict=True):
        full = [n if a in wide or a == axis else 1 for a, n in enumerate(shape)]
        if part is None:
            why = walk.why.get(tensor.name, "has no channels of its own")
            made = walk.labels.frozen(shape[axis], f"'{tensor.name}' {why}")
            labels.append(np.broadcast_to(along(made, axis, len(shape)), full))
            dead.append(np.full(full, np.nan))
        else:
            labels.append(np.broadcast_to(part.labels, full))
            dead.append(np.broadcast_to(part.dead, full))
    return Factor(np.concatenate(labels, axis), np.concatenate(dead, axis))
