"""Normalisation, pooling, reduction and Softmax: over which axes values meet.

1. Parameters per channel belong to the channel: BatchNormalization, InstanceNormalization.
2. What meets over the axis of channels depends on how many there are: it holds them, but for
   sums in which masked channels bring nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxq.coupling.arithmetic import axes_of
from onnxq.coupling.factors import Factor, along, zeros
from onnxq.coupling.groups import Side
from onnxq.coupling.leaking import channel_factor, leak
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node


def pass_batch_norm(walk: Walk, node: Node) -> None:
    """BatchNormalization: inputs are scale, bias, mean and variance."""
    if node.attrs.get("training_mode", 0) or len([t for t in node.outputs if t.name]) > 1:
        stop(walk, node, "normalises over the batch")
        return
    _parameters(walk, node, masked=(True, True, False, False))


def pass_instance_norm(walk: Walk, node: Node) -> None:
    """InstanceNormalization: inputs are scale and bias."""
    _parameters(walk, node, masked=(True, True))


def _parameters(walk: Walk, node: Node, masked: Sequence[bool]) -> None:
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    read = channel_factor(walk, node, shape)
    for index, zeroed in enumerate(masked, start=1):
        tensor = node.inputs[index]
        for factor in walk.factors(tensor):
            walk.use(factor, Side.BESIDE, node, masked=zeroed)
            if read is not None:
                walk.labels.unite(read.labels.reshape(-1), factor.labels.reshape(-1))
            else:
                why = walk.why.get(node.inputs[0].name, "has no channels of its own")
                walk.freeze([factor], f"'{node.inputs[0].name}' {why}")
        computed = not walk.shapes.is_constant(tensor) and not walk.factors(tensor)
        if read is not None and computed:
            walk.freeze([read], f"'{tensor.name}' of '{node.name}' ({node.op}) is computed")
    if read is not None:
        walk.emit(node.outputs[0], [zeros(along(read.labels.reshape(-1), 1, len(shape)))])


def pass_layer_norm(walk: Walk, node: Node) -> None:
    """LayerNormalization over the last axes, and RMSNormalization."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    first = node.attrs.get("axis", -1) % len(shape)
    _normalised(walk, node, range(first, len(shape)))


def pass_group_norm(walk: Walk, node: Node) -> None:
    """GroupNormalization, and LpNormalization, LRN and Softmax-like operators over channels."""
    _normalised(walk, node, [1])


def _normalised(walk: Walk, node: Node, axes: Sequence[int]) -> None:
    """Hold what is normalised together, and the parameters with it."""
    reason = f"'{node.name}' ({node.op}) normalises over its channels"
    found = []
    for factor in walk.flowing(node, 0, masked=False):
        factor = walk.forbid(factor, axes, reason)
        found.append(Factor(factor.labels, np.full(factor.labels.shape, np.nan)))
    for tensor in node.inputs[1:]:
        walk.freeze(walk.factors(tensor), reason)
        for factor in walk.factors(tensor):
            walk.use(factor, Side.BESIDE, node, masked=False)
    walk.emit(node.outputs[0], found)


def pass_lp_norm(walk: Walk, node: Node) -> None:
    """LpNormalization over one axis."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    _normalised(walk, node, [node.attrs.get("axis", -1) % len(shape)])


def pass_softmax(walk: Walk, node: Node) -> None:
    """Softmax and its like; before operator set 13 over all axes from one on."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    if walk.model.opset >= 13:
        _normalised(walk, node, [node.attrs.get("axis", -1) % len(shape)])
    else:
        _normalised(walk, node, range(node.attrs.get("axis", 1) % len(shape), len(shape)))


_SUMS = frozenset(["ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare"])
"""Reductions in which zeros do not count."""

_EVENLY = frozenset(["ReduceMax", "ReduceMean", "ReduceMin"])
"""Reductions of equal values that give this value."""


def pass_reduce(walk: Walk, node: Node) -> None:
    """Reductions."""
    shape = walk.shape(node.inputs[0])
    axes = axes_of(node, walk.shapes.inputs(node))
    if shape is None or (axes is None and len(node.inputs) > 1 and node.inputs[1].name):
        stop(walk, node, "reduces unknown axes")
        return
    if not axes:
        none = node.attrs.get("noop_with_empty_axes", 0)
        axes = [] if none else list(range(len(shape)))
    gone = {a % len(shape) for a in axes}
    kept = bool(node.attrs.get("keepdims", 1))
    found = []
    for factor in walk.flowing(node, 0):
        if gone.intersection(factor.axes):
            one = _reduced(walk, node, factor, sorted(gone))
            if one is None:
                continue
            factor = one
        even = node.op in _EVENLY
        dead = factor.dead if even else np.where(factor.dead == 0, _of_zeros(node), np.nan)
        labels = factor.labels
        if not kept:
            form = [n for a, n in enumerate(labels.shape) if a not in gone]
            labels, dead = labels.reshape(form), dead.reshape(form)
        found.append(Factor(labels, dead))
    walk.emit(node.outputs[0], found)


def _of_zeros(node: Node) -> float:
    """What a reduction makes of zeros."""
    return 0.0 if node.op in _SUMS or node.op == "ReduceProd" else np.nan


def _reduced(walk: Walk, node: Node, factor: Factor, gone: Sequence[int]) -> Factor | None:
    """A factor after axes of channels were reduced; None if nothing of it is left."""
    reason = f"'{node.name}' ({node.op}) reduces over its channels"
    if node.op not in _SUMS:
        factor = walk.forbid(factor, gone, reason)
        return None if set(gone).intersection(factor.axes) else factor
    leak(walk, node, factor.labels.reshape(-1), factor.dead.reshape(-1), None)
    if set(factor.axes) <= set(gone):
        return None
    factor = walk.forbid(factor, gone, reason)
    return None if set(gone).intersection(factor.axes) else factor


def pass_pool(walk: Walk, node: Node) -> None:
    """Pools slide over the spatial axes; zeros put around must equal what is masked."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    read = channel_factor(walk, node, shape)
    if read is None:
        _forward_reason(walk, node)
        return
    dead = read.dead
    padded = any(node.attrs.get("pads", ())) or node.attrs.get("auto_pad", "NOTSET") != "NOTSET"
    counted = node.op in ("AveragePool", "LpPool", "GlobalLpPool")
    if counted and (padded or node.attrs.get("ceil_mode", 0) or node.op != "AveragePool"):
        dead = np.where(dead == 0, 0.0, np.nan)
    walk.emit(node.outputs[0], [Factor(read.labels, dead)])


def pass_resize(walk: Walk, node: Node) -> None:
    """Resize and Upsample: channels must not be among what is resized."""
    before, after = walk.shape(node.inputs[0]), walk.shape(node.outputs[0])
    if before is None or after is None or len(before) != len(after):
        stop(walk, node, "has an unknown shape")
        return
    other = [a for a in range(len(before)) if before[a] != after[a]]
    reason = f"'{node.name}' ({node.op}) resizes it"
    outside = node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    found = []
    for factor in walk.flowing(node, 0):
        factor = walk.forbid(factor, other, reason)
        if set(other).intersection(factor.axes):
            continue
        dead = np.where(factor.dead == 0, 0.0, np.nan) if outside else factor.dead
        found.append(Factor(factor.labels, dead))
    walk.emit(node.outputs[0], found)


def _forward_reason(walk: Walk, node: Node) -> None:
    reason = walk.why.get(node.inputs[0].name)
    if reason is not None:
        walk.why.setdefault(node.outputs[0].name, reason)


def pass_shape(walk: Walk, node: Node) -> None:
    """Shape and Size: what they give is followed apart."""
