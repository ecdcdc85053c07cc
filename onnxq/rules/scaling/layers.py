"""Layers: a factor ends in their weights.

1. y = W·x + b, x divided by s: the columns of W that read a channel are multiplied.
2. y divided by s: the rows of W that write a channel, and their bias, are divided.
3. A product of two computed tensors passes a factor of its columns to the right operand's:
   softmax(Q·K)·V has the channels of V.
4. A normalisation's result is divided by dividing its scale and bias.
"""

from __future__ import annotations

from onnxq.graph import Node, bound_constant
from onnxq.rules.folding.affine import normal_axes, of_rank
from onnxq.rules.scaling.flow import Flow, Port
from onnxq.rules.scaling.labels import LabelArray, along_axis


def pass_convolution(flow: Flow, port: Port, array: LabelArray) -> None:
    """Conv and ConvTranspose."""
    node = port.node
    weight = bound_constant(node.inputs[1])
    if weight is None or port.index > 0:
        flow.hold(array, f"the weight of '{node.name}' is computed at run time")
        return
    shape, groups = tuple(weight.stored.shape), int(node.attrs.get("group", 1))
    # Conv has its outputs first, ConvTranspose its inputs; the second axis is that of a group.
    first = port.is_output == (node.op == "Conv")
    channels = shape[0] if first else shape[1] * groups
    values = flow.labels.vector(array, 1, channels)
    if values is None:
        flow.hold(array, f"the channels of '{node.name}' are not known")
        return
    rows = shape[0] // groups
    taps = values[:, None] if first else values.reshape(groups, -1).repeat(rows, 0)
    tail = (1,) * (len(shape) - 2)
    flow.scale(node, 1, taps.reshape(*taps.shape, *tail), -1 if port.is_output else 1)
    if port.is_output and flow.work.input(node, 2) is not None:
        flow.scale(node, 2, values, -1)


def pass_gemm(flow: Flow, port: Port, array: LabelArray) -> None:
    """Gemm: α·A·B + β·C."""
    node = port.node
    if not port.is_output and port.index == 2:
        wide = array if array.ndim == 0 else array.reshape((1,) * (2 - array.ndim) + array.shape)
        flow.reach(node.outputs[0], wide)
        return
    weight = bound_constant(node.inputs[1])
    if weight is None or port.index > 0:
        flow.hold(array, f"the weight of '{node.name}' is computed at run time")
        return
    transposed = bool(node.attrs.get("transB", 0))
    axis = int(transposed != port.is_output)
    own = 1 if port.is_output or not node.attrs.get("transA", 0) else 0
    values = flow.labels.vector(array, own, weight.stored.shape[axis])
    if values is None:
        flow.hold(array, f"the channels of '{node.name}' are not known")
        return
    flow.scale(node, 1, along_axis(values, axis, 2), -1 if port.is_output else 1)
    if port.is_output and flow.work.input(node, 2) is not None:
        flow.reach_operand(node, 2, along_axis(values, 1, 2))


def pass_product(flow: Flow, port: Port, array: LabelArray) -> None:
    """MatMul."""
    node = port.node
    ranks = [flow.work.rank(t) or 0 for t in (*node.inputs, node.outputs[0])]
    if min(ranks) < 2 or node.inputs[0] is node.inputs[1]:
        flow.hold(array, f"'{node.name}' multiplies a vector, or a tensor by itself")
        return
    weight = bound_constant(node.inputs[1])
    if weight is not None:
        _weighted(flow, port, array, tuple(weight.stored.shape))
    elif port.is_output or port.index == 1:
        _columns(flow, port, array, ranks[-1])
    else:
        flow.hold(array, f"'{node.name}' sums over products of two computed tensors")


def _weighted(flow: Flow, port: Port, array: LabelArray, shape: tuple[int, ...]) -> None:
    axis = -1 if port.is_output else -2
    values = flow.labels.vector(array, -1, shape[axis])
    if values is None or len(shape) != 2:
        flow.hold(array, f"the weight of '{port.node.name}' is not a matrix")
        return
    flow.scale(port.node, 1, along_axis(values, axis, 2), -1 if port.is_output else 1)


def _columns(flow: Flow, port: Port, array: LabelArray, rank: int) -> None:
    """Columns of the result are those of the right operand; its rows are summed over."""
    node = port.node
    wide = of_rank(array, rank)
    if wide is None:
        flow.hold(array, f"the rank of '{node.outputs[0].name}' is not known")
        return
    if wide.ndim:
        wide = flow.labels.along(wide, set(range(rank)) - {rank - 2})
    flow.reach(node.outputs[0], wide)
    flow.reach_operand(node, 1, wide)


def pass_normalization(flow: Flow, port: Port, array: LabelArray) -> None:
    """LayerNormalization and RMSNormalization over the last axis."""
    _normalization(flow, port, array, -1)


def pass_channel_normalization(flow: Flow, port: Port, array: LabelArray) -> None:
    """BatchNormalization and InstanceNormalization."""
    _normalization(flow, port, array, 1)


def _normalization(flow: Flow, port: Port, array: LabelArray, axis: int) -> None:
    node = port.node
    if not port.is_output or port.index > 0:
        flow.hold(array, f"'{node.name}' ({node.op}) takes factors of its channels away")
        return
    scale, rank = bound_constant(node.inputs[1]), flow.work.rank(node.outputs[0])
    length = 0 if scale is None or len(scale.stored.shape) != 1 else scale.size
    first = int(node.attrs.get("axis", -1)) if axis < 0 else axis
    values = flow.labels.vector(array, axis, length) if length else None
    if values is None or rank is None or normal_axes([first], rank) != normal_axes([axis], rank):
        flow.hold(array, f"'{node.name}' ({node.op}) has no scale for each channel")
        return
    for index in (1, 2):
        if flow.work.input(node, index) is not None:
            flow.scale(node, index, values, -1)


def is_layer(node: Node) -> bool:
    """Whether a node multiplies its first input by a constant weight."""
    if not node.standard or node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return False
    return len(node.inputs) > 1 and bound_constant(node.inputs[1]) is not None


def seed_axis(node: Node, rank: int) -> int:
    """The axis of a layer's first input that holds its channels."""
    if node.op == "MatMul":
        return rank - 1
    if node.op == "Gemm":
        return 0 if node.attrs.get("transA", 0) else 1
    return 1


def seed_channels(node: Node) -> int:
    """How many channels a layer reads."""
    weight = bound_constant(node.inputs[1])
    assert weight is not None
    shape = weight.stored.shape
    if node.op == "Conv":
        return int(shape[1]) * int(node.attrs.get("group", 1))
    if node.op == "ConvTranspose":
        return int(shape[0])
    if node.op == "Gemm" and node.attrs.get("transB", 0):
        return int(shape[1])
    return int(shape[-2])
