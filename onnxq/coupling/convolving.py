"""Conv and ConvTranspose.

1. What is summed over is one channel in data and weight.
2. A convolution in groups reads and computes equal positions of all groups, so that they stay
   equally wide; with one channel per group, whole groups go, and channels pass through.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxq.coupling.factors import Factor, Factors, along, zeros
from onnxq.coupling.groups import Side
from onnxq.coupling.labels import LabelArray
from onnxq.coupling.leaking import channel_factor, is_constant, leak, use
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node


def pass_conv(walk: Walk, node: Node) -> None:
    """Conv; its weight is [out, in / groups, kernel …]."""
    _convolve(walk, node, out_axis=0)


def pass_conv_transpose(walk: Walk, node: Node) -> None:
    """ConvTranspose; its weight is [in, out / groups, kernel …]."""
    _convolve(walk, node, out_axis=1)


def _convolve(walk: Walk, node: Node, out_axis: int) -> None:
    data, weight = node.inputs[0], node.inputs[1]
    shape, kernel = walk.shape(data), walk.shape(weight)
    of_weight = walk.factors(weight)
    if shape is None or kernel is None or not is_constant(walk, weight.name, of_weight):
        stop(walk, node, "has a weight that is computed, or an unknown shape")
        return
    of_weight = tuple(_without_kernel(walk, node, f) for f in of_weight)
    groups = int(node.attrs.get("group", 1))
    read = channel_factor(walk, node, shape)
    outer, inner = (_of_axis(of_weight, a) for a in (out_axis, 1 - out_axis))
    if groups == 1:
        _read(walk, node, read, inner)
        made = None if outer is None else outer.labels.reshape(-1)
        use(walk, node, outer, Side.OUTPUT)
    elif shape[1] == groups:
        made = _through(walk, node, read, outer if out_axis == 0 else inner, groups)
        if out_axis == 1 and made is not None:
            made = np.repeat(made, kernel[1])
            _hold(walk, outer, "a depthwise transposed convolution multiplies channels")
    else:
        made = _in_groups(walk, node, read, (outer, inner), groups, transposed=out_axis == 1)
    if made is None:
        _emit_other(walk, node, shape, None)
        return
    _beside(walk, node, made)
    _emit_other(walk, node, shape, made)


def _without_kernel(walk: Walk, node: Node, factor: Factor) -> Factor:
    """A factor of a weight that was reshaped: its channels depend on no place in the kernel."""
    places = [a for a in factor.axes if a > 1]
    if len(places) in (0, len(factor.axes)):
        return factor
    return walk.forbid(factor, places, f"'{node.name}' ({node.op}) slides over it")


def _emit_other(walk: Walk, node: Node, shape: Sequence[int], made: LabelArray | None) -> None:
    """Emit the new channels beside factors of the batch axis."""
    batch = [f.with_dead(np.nan) for f in walk.factors(node.inputs[0]) if f.axes == (0,)]
    batch = [Factor(f.labels, f.dead) for f in batch]
    fresh = [] if made is None else [zeros(along(made, 1, len(shape)))]
    walk.emit(node.outputs[0], [*batch, *fresh])


def _read(walk: Walk, node: Node, read: Factor | None, inner: Factor | None) -> None:
    """What a layer sums over is one channel in data and weight."""
    if inner is None:
        if read is not None:
            walk.freeze([read], f"'{node.name}' ({node.op}) reads it as a whole")
        return
    use(walk, node, inner, Side.INPUT, masked=False)
    if read is None:
        why = walk.why.get(node.inputs[0].name, "has no channels of its own")
        walk.freeze([inner], f"'{node.inputs[0].name}' {why}")
        return
    walk.labels.unite(read.labels.reshape(-1), inner.labels.reshape(-1))
    leak(walk, node, read.labels.reshape(-1), read.dead.reshape(-1), inner)


def _through(
    walk: Walk, node: Node, read: Factor | None, outer: Factor | None, groups: int
) -> LabelArray | None:
    """One channel per group: channels pass through, and groups go with them."""
    if outer is None:
        return None
    use(walk, node, outer, Side.OUTPUT)
    own = outer.labels.reshape(-1)
    if read is None:
        why = walk.why.get(node.inputs[0].name, "has no channels of its own")
        walk.freeze([outer], f"'{node.inputs[0].name}' {why}")
        return own
    labels = read.labels.reshape(-1)
    walk.labels.unite(np.repeat(labels, len(own) // groups), own)
    return own


def _in_groups(
    walk: Walk,
    node: Node,
    read: Factor | None,
    of_weight: tuple[Factor | None, Factor | None],
    groups: int,
    *,
    transposed: bool,
) -> LabelArray | None:
    outer, inner = of_weight
    whole, part = (inner, outer) if transposed else (outer, inner)
    # The axis of the weight that runs over all groups, and the other that is shared by them.
    if whole is not None:
        walk.labels.tie(whole.labels.reshape(groups, -1), 0)
    if read is not None:
        walk.labels.tie(read.labels.reshape(groups, -1), 0)
    first = None if read is None else read.labels.reshape(groups, -1)[0]
    if inner is None:
        if read is not None:
            walk.freeze([read], f"'{node.name}' ({node.op}) reads one channel per group")
    else:
        use(walk, node, inner, Side.INPUT, masked=False)
        of_inner = inner.labels.reshape(-1)
        of_inner = of_inner.reshape(groups, -1)[0] if transposed else of_inner
        if first is None:
            why = walk.why.get(node.inputs[0].name, "has no channels of its own")
            walk.freeze([inner], f"'{node.inputs[0].name}' {why}")
        else:
            walk.labels.unite(first, of_inner)
    if read is not None:
        leak(walk, node, read.labels.reshape(-1), read.dead.reshape(-1), None)
    use(walk, node, outer, Side.OUTPUT)
    if outer is None:
        return None
    own = outer.labels.reshape(-1)
    del part
    return np.tile(own, groups) if transposed else own


def _beside(walk: Walk, node: Node, made: LabelArray) -> None:
    """The bias belongs to the channels computed."""
    if len(node.inputs) < 3 or not node.inputs[2].name:
        return
    bias = walk.factors(node.inputs[2])
    if not is_constant(walk, node.inputs[2].name, bias) or not bias:
        walk.labels.freeze(made, f"the bias of '{node.name}' ({node.op}) is computed")
        return
    walk.labels.unite(bias[0].labels.reshape(-1), made)
    for factor in bias:
        walk.use(factor, Side.BESIDE, node, masked=True)


def _of_axis(factors: Factors, axis: int) -> Factor | None:
    return next((f for f in factors if f.axes == (axis,)), None)


def _hold(walk: Walk, factor: Factor | None, reason: str) -> None:
    if factor is not None:
        walk.freeze([factor], reason)
