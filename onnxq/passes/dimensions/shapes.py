"""Shape of an operator's first result, as terms over the shapes of what it reads.

Only operators are here where a general shape inference loses what it knew of free dimensions,
and those that usually follow them. A function returns None where it cannot tell the number of
axes, and a None dimension where it cannot tell that one. Definitions: ONNX operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxq.graph import Node
from onnxq.passes.dimensions.algebra import broadcast_shapes, extent, is_dimension
from onnxq.passes.dimensions.arranging import (
    concatenated,
    expanded,
    flattened,
    gathered,
    padded,
    reshaped,
    sliced,
    squeezed,
    tiled,
    transposed,
    unsqueezed,
)
from onnxq.passes.dimensions.known import Dimensions, Known, operand
from onnxq.passes.dimensions.windows import convolved, pooled, resized

Rule = Callable[[Known, Node], Dimensions | None]


def _same(known: Known, node: Node) -> Dimensions | None:
    return known.shape(node.inputs[0])


def _broadcast(known: Known, node: Node) -> Dimensions | None:
    shapes = [known.shape(t) for t in node.inputs]
    certain = [s for s in shapes if s is not None]
    return broadcast_shapes(certain) if len(certain) == len(shapes) else None


def _reduce(known: Known, node: Node) -> Dimensions | None:
    shape, axes = known.shape(node.inputs[0]), operand(known, node, 1, "axes")
    if shape is None or axes is None:
        return None
    if not axes and node.attrs.get("noop_with_empty_axes", 0):
        return shape
    gone = {a % len(shape) for a in axes} if axes else set(range(len(shape)))
    if node.attrs.get("keepdims", 1):
        return tuple(1 if i in gone else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in gone)


def _matmul(known: Known, node: Node) -> Dimensions | None:
    left, right = (known.shape(t) for t in node.inputs)
    if not left or not right:
        return None
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    return broadcast_shapes([left[:-2], right[:-2]]) + rows + columns


def _gemm(known: Known, node: Node) -> Dimensions | None:
    left, right = (known.shape(t) for t in node.inputs[:2])
    rows = None if left is None else left[1 if node.attrs.get("transA", 0) else 0]
    columns = None if right is None else right[0 if node.attrs.get("transB", 0) else 1]
    return rows, columns


def _range(known: Known, node: Node) -> Dimensions | None:
    start, limit, delta = (known.content(t) for t in node.inputs)
    if start is None or limit is None or delta is None:
        return (None,)
    if start == (0,) and delta == (1,) and is_dimension(limit[0]):
        return limit
    if not all(isinstance(d, int) for d in (*start, *limit, *delta)):
        return (extent("Range", *start, *limit, *delta),)
    return (None,)


def _constant_of_shape(known: Known, node: Node) -> Dimensions | None:
    content = known.content(known.input(node, 0))
    return None if content is None else tuple(d if is_dimension(d) else None for d in content)


def _like(index: int) -> Rule:
    """A result shaped like one of the inputs."""

    def rule(known: Known, node: Node) -> Dimensions | None:
        return known.shape(known.input(node, index))

    return rule


_SAME = """Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Bernoulli BitwiseNot Cast
CastLike Ceil Celu Clip Cos Cosh CumSum DequantizeLinear Dropout Elu Erf Exp Floor Gelu
GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg
Not PRelu QuantizeLinear RMSNormalization Reciprocal Relu Round ScatterElements ScatterND Selu
Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
Trilu"""


_BROADCAST = """Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual
Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor"""


_REDUCE = """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare"""


SHAPES: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    **dict.fromkeys(_REDUCE.split(), _reduce),
    "AveragePool": pooled,
    "Concat": concatenated,
    "ConstantOfShape": _constant_of_shape,
    "Conv": convolved,
    "Expand": expanded,
    "Flatten": flattened,
    "Gather": gathered,
    "GatherElements": _like(1),
    "Gemm": _gemm,
    "LpPool": pooled,
    "MatMul": _matmul,
    "MaxPool": pooled,
    "Pad": padded,
    "Range": _range,
    "Reshape": reshaped,
    "Resize": resized,
    "Slice": sliced,
    "Squeeze": squeezed,
    "Tile": tiled,
    "Transpose": transposed,
    "Unsqueeze": unsqueezed,
    "Upsample": resized,
}
"""The functions, by operator."""
