"""Operators that move, join, cut or pad elements: labels move with the elements."""

from __future__ import annotations

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes.dimensions import ENDLESS
from onnxq.rules.folding.affine import Affine, normal_axes, varying
from onnxq.rules.folding.transports import TRANSPORTS
from onnxq.rules.scaling.flow import Flow, Port
from onnxq.rules.scaling.labels import LabelArray, along_axis

_ANY = Affine.of(2.0)
"""What stands for a positive factor where an operator is asked whether one passes it."""


def pass_transport(flow: Flow, port: Port, array: LabelArray) -> None:
    """Whatever positive factors pass unchanged: Relu, pools, Transpose, Reshape and so on."""
    node, transport = port.node, TRANSPORTS[port.node.op]
    reason = transport.law(flow.work, node, _ANY)
    if port.index > 0:
        reason = f"'{node.name}' ({node.op}) takes it as a parameter, or gives indices"
    if reason:
        flow.hold(array, reason)
        return
    move = transport.moves.back if port.is_output else transport.moves.forth
    moved = move(flow.work, node, array)
    if moved is None:
        flow.hold(array, f"'{node.name}' ({node.op}) mixes channels")
        return
    flow.reach(node.inputs[0] if port.is_output else node.outputs[0], moved.astype(np.int64))


def pass_pad(flow: Flow, port: Port, array: LabelArray) -> None:
    """Pad with zeros, or with elements of the same channel."""
    node = port.node
    pads = _pads(flow, node, array.ndim)
    filled = flow.work.input(node, 2) is not None and flow.work.scalar(node.inputs[2]) != 0.0
    filled = filled or bool(node.attrs.get("value", 0.0))
    if pads is None or filled or (not port.is_output and port.index > 0):
        flow.hold(array, f"'{node.name}' (Pad) fills in other values than zeros")
        return
    grown = {axis for axis, (before, after) in pads.items() if before or after}
    if grown & varying(array):
        array = flow.labels.along(array, set(range(array.ndim)) - grown)
    flow.reach(node.inputs[0], array)
    flow.reach(node.outputs[0], array)


def _pads(flow: Flow, node: Node, rank: int) -> dict[int, tuple[int, int]] | None:
    found = node.attrs.get("pads")
    if found is None:
        known = flow.work.value(flow.work.input(node, 1))
        found = None if known is None else known.reshape(-1).tolist()
    if found is None or rank == 0:
        return None if found is None else {}
    axes = list(range(rank))
    if flow.work.input(node, 3) is not None:
        chosen = flow.work.value(node.inputs[3])
        if chosen is None:
            return None
        axes = normal_axes(chosen.reshape(-1).tolist(), rank)
    half = len(found) // 2
    return {a: (found[i], found[half + i]) for i, a in enumerate(axes) if i < half}


def pass_concat(flow: Flow, port: Port, array: LabelArray) -> None:
    """Concat: each input has its stretch of the result's channels."""
    node = port.node
    _cut(flow, port, array, node.outputs[0], list(node.inputs))


def pass_split(flow: Flow, port: Port, array: LabelArray) -> None:
    """Split: each output has its stretch of the input's channels."""
    node = port.node
    if not port.is_output and port.index > 0:
        flow.hold(array, f"'{node.name}' (Split) takes it as a parameter")
        return
    _cut(flow, port, array, node.inputs[0], [t for t in node.outputs if t.name])


def _cut(flow: Flow, port: Port, array: LabelArray, whole: Tensor, parts: list[Tensor]) -> None:
    rank = flow.work.rank(whole)
    if rank is None:
        flow.hold(array, f"the rank of '{whole.name}' is not known")
        return
    axis = normal_axes([int(port.node.attrs.get("axis", 0))], rank)[0]
    shapes = [flow.work.shape(t) for t in parts]
    lengths = [s[axis] for s in shapes if s is not None]
    known = [length for length in lengths if isinstance(length, int)]
    if varying(array) - {axis} or len(known) < len(parts):
        # Cut along another axis, or where it is not known: one factor for all parts.
        array = flow.labels.along(array, set(range(array.ndim)) - {axis})
        for tensor in (whole, *parts):
            flow.reach(tensor, array)
        return
    ends = [0, *np.cumsum(known).tolist()]
    everything = flow.labels.fresh(ends[-1])
    from_whole = port.is_output == (port.node.op == "Concat")
    first, last = (0, ends[-1]) if from_whole else (ends[port.index], ends[port.index + 1])
    flow.labels.unite(everything[first:last], array.reshape(-1))
    flow.reach(whole, along_axis(everything, axis, rank))
    for part, first, last in zip(parts, ends, ends[1:], strict=False):
        flow.reach(part, along_axis(everything[first:last], axis, rank))


def pass_slice(flow: Flow, port: Port, array: LabelArray) -> None:
    """Slice with known bounds."""
    node, work = port.node, flow.work
    if not port.is_output and port.index > 0:
        flow.hold(array, f"'{node.name}' (Slice) takes it as a parameter")
        return
    shape = work.shape(node.inputs[0])
    bounds = None if shape is None else _bounds(flow, node, len(shape))
    if shape is None or bounds is None:
        flow.hold(array, f"'{node.name}' (Slice) has bounds that are not known")
        return
    other = node.inputs[0] if port.is_output else node.outputs[0]
    cut = varying(array) & bounds.keys()
    if not cut:
        flow.reach(other, array)
        return
    axis = min(cut)
    length = shape[axis]
    if len(varying(array)) > 1 or not isinstance(length, int):
        flow.hold(array, f"'{node.name}' (Slice) cuts where it is not known")
        return
    everything = flow.labels.fresh(length)
    part = everything[bounds[axis]]
    flow.labels.unite(part if port.is_output else everything, array.reshape(-1))
    moved = everything if port.is_output else part
    flow.reach(other, along_axis(moved, axis, array.ndim))


def _bounds(flow: Flow, node: Node, rank: int) -> dict[int, slice] | None:
    """The stretch taken of each axis that is cut."""
    work = flow.work
    lists = [node.attrs.get("starts"), node.attrs.get("ends")]
    if lists[0] is None:
        values = [work.value(work.input(node, i)) for i in (1, 2)]
        lists = [None if v is None else v.reshape(-1).tolist() for v in values]
    if lists[0] is None or lists[1] is None:
        return None
    given = "axes" in node.attrs or work.input(node, 3) is not None
    axes = _slice_axes(flow, node, rank) if given else list(range(len(lists[0])))
    steps = [1] * len(lists[0])
    if work.input(node, 4) is not None:
        known = work.value(node.inputs[4])
        if known is None:
            return None
        steps = known.reshape(-1).tolist()
    if axes is None or any(step < 1 for step in steps):
        return None
    ends = [None if end >= ENDLESS else end for end in lists[1]]
    return {a: slice(*b) for a, *b in zip(axes, lists[0], ends, steps, strict=True)}


def _slice_axes(flow: Flow, node: Node, rank: int) -> list[int] | None:
    if "axes" in node.attrs:
        return normal_axes(node.attrs["axes"], rank)
    known = flow.work.value(node.inputs[3])
    return None if known is None else normal_axes(known.reshape(-1).tolist(), rank)
