"""What only moves elements moves labels the same way."""

from __future__ import annotations

from functools import partial

import numpy as np

from onnxq.coupling.factors import Factor, along, reshaped
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Constant, Node, read

LARGEST = 1 << 22


"""Elements of the largest array of labels that Reshape may make."""


def pass_reshape(walk: Walk, node: Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: elements keep their order."""
    before, after = walk.shape(node.inputs[0]), walk.shape(node.outputs[0])
    if before is None or after is None:
        stop(walk, node, "has an unknown shape")
        return
    found = []
    for factor in walk.factors(node.inputs[0]):
        moved = reshaped(factor, before, after, LARGEST)
        if moved is None:
            walk.freeze([factor], f"'{node.name}' ({node.op}) cannot be followed")
        else:
            found.append(moved)
    walk.emit(node.outputs[0], found)
    remember(walk, node)


def pass_transpose(walk: Walk, node: Node) -> None:
    """Transpose."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    order = node.attrs.get("perm", list(range(len(shape)))[::-1])
    found = [f.moved(lambda a: a.transpose(order)) for f in walk.factors(node.inputs[0])]
    walk.emit(node.outputs[0], found)
    remember(walk, node)


def pass_expand(walk: Walk, node: Node) -> None:
    """Expand: an axis of length 1 is repeated, which labels of length 1 are already."""
    before, after = walk.shape(node.inputs[0]), walk.shape(node.outputs[0])
    if before is None or after is None:
        stop(walk, node, "has an unknown shape")
        return
    if walk.shapes.is_constant(node.inputs[0]) and all(n == 1 for n in before):
        pass_filled(walk, node)
        return
    rank = len(after)
    found = [
        f.moved(lambda a: a.reshape((1,) * (rank - a.ndim) + a.shape))
        for f in walk.factors(node.inputs[0])
    ]
    walk.emit(node.outputs[0], found)
    remember(walk, node)


def pass_filled(walk: Walk, node: Node) -> None:
    """One number everywhere: ConstantOfShape, and Expand of a single number.

    Its axes take whatever length they are asked for, so they have labels of their own.
    """
    shape = walk.shape(node.outputs[0])
    if shape is None or len(shape) < 2:
        return
    if node.op == "Expand":
        value = walk.shapes.value(node.inputs[0])
    else:
        fill = node.attrs.get("value")
        value = read(fill) if isinstance(fill, Constant) else np.zeros(1)
    number = np.nan if value is None else float(value.reshape(-1)[0])
    found = []
    for axis, length in enumerate(shape):
        if 1 < length <= LARGEST:
            labels = along(walk.labels.fresh(length), axis, len(shape))
            found.append(Factor(labels, np.full(labels.shape, number)))
    walk.emit(node.outputs[0], found)


def pass_tile(walk: Walk, node: Node) -> None:
    """Tile repeats the labels of an axis too."""
    times = walk.shapes.integers(node, 1)
    if times is None:
        stop(walk, node, "repeats an unknown number of times")
        return
    found = []
    for factor in walk.factors(node.inputs[0]):
        count = [n if a in factor.axes else 1 for a, n in enumerate(times)]
        found.append(factor.moved(partial(np.tile, reps=count)))
    walk.emit(node.outputs[0], found)


def remember(walk: Walk, node: Node) -> None:
    """What is made of a tensor without channels has none for the same reason."""
    reason = walk.why.get(node.inputs[0].name)
    for tensor in node.outputs:
        if reason is not None:
            walk.why.setdefault(tensor.name, reason)


def pass_depth_to_space(walk: Walk, node: Node) -> None:
    """DepthToSpace: the channels that become one square go together."""
    size = node.attrs["blocksize"] ** 2
    found = []
    for factor in walk.factors(node.inputs[0]):
        factor = walk.forbid(factor, [0, 2, 3], f"'{node.name}' (DepthToSpace) moves other axes")
        if factor.axes != (1,):
            continue
        column = node.attrs.get("mode", "DCR") == "CRD"
        form = (-1, size) if column else (size, -1)
        labels = walk.labels.tie(factor.labels.reshape(form), 1 if column else 0).reshape(-1)
        dead = factor.dead.reshape(form)
        first = dead.take(0, 1 if column else 0)
        same = (dead == (first[:, None] if column else first)).all(1 if column else 0)
        found.append(Factor(along(labels, 1, 4), along(np.where(same, first, np.nan), 1, 4)))
    walk.emit(node.outputs[0], found)


def pass_space_to_depth(walk: Walk, node: Node) -> None:
    """SpaceToDepth: every channel becomes several (SpaceToDepth-13: block first)."""
    size = node.attrs["blocksize"] ** 2
    found = []
    for factor in walk.factors(node.inputs[0]):
        factor = walk.forbid(factor, [0, 2, 3], f"'{node.name}' (SpaceToDepth) moves other axes")
        if factor.axes == (1,):
            found.append(factor.moved(lambda a: np.tile(a, (1, size, 1, 1))))
    walk.emit(node.outputs[0], found)
