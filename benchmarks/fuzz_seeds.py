"""The sound models that fuzzing starts from: each small, together most of what ONNX has."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

CONVOLUTIONS = """<ir_version: 8, opset_import: ["" : 17]>
convolutions (float[N, 3, 8, 8] image) => (float[N, 5] scores)
<float[4, 3, 3, 3] W1, float[4] B1, float[4] gain = {1, 2, 3, 4}, float[4] shift = {0, 1, 0, 1},
 float[4] mean = {0, 0, 0, 0}, float[4] variance = {1, 1, 1, 1}, float[4, 1, 3, 3] W2,
 float[4, 5] W3, float[5] B3 = {0, 1, 2, 3, 4}, float low = {0}, float high = {6}>
{
  a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, W1, B1)
  b = BatchNormalization (a, gain, shift, mean, variance)
  c = Relu (b)
  d = Conv <group = 4, strides = [2, 2], pads = [1, 1, 1, 1]> (c, W2)
  e = Clip (d, low, high)
  f = GlobalAveragePool (e)
  g = Flatten (f)
  scores = Gemm (g, W3, B3)
}"""

ATTENTION = """<ir_version: 8, opset_import: ["" : 17]>
attention (float[N, T, 8] x, int64[N, T] mask) => (float[N, T, 8] y)
<float[8, 24] W, float[24] B, int64[4] split_heads = {0, 0, 2, 4}, int64[3] join = {0, 0, 8},
 int64[3] parts = {8, 8, 8}, float root = {2}, float one = {1}, float big = {-10000},
 int64[1] first = {1}, float[8] gain, float[8] shift, float half = {0.5}, float sqrt2 = {1.4142135}>
{
  a = MatMul (x, W)
  b = Add (a, B)
  q, k, v = Split <axis = 2> (b, parts)
  q4 = Reshape (q, split_heads)
  k4 = Reshape (k, split_heads)
  v4 = Reshape (v, split_heads)
  qt = Transpose <perm = [0, 2, 1, 3]> (q4)
  kt = Transpose <perm = [0, 2, 3, 1]> (k4)
  vt = Transpose <perm = [0, 2, 1, 3]> (v4)
  s = MatMul (qt, kt)
  t = Div (s, root)
  m = Cast <to = 1> (mask)
  m3 = Unsqueeze (m, first)
  m4 = Unsqueeze (m3, first)
  inverse = Sub (one, m4)
  far = Mul (inverse, big)
  u = Add (t, far)
  p = Softmax <axis = -1> (u)
  o = MatMul (p, vt)
  ot = Transpose <perm = [0, 2, 1, 3]> (o)
  flat = Reshape (ot, join)
  n = LayerNormalization <axis = -1> (flat, gain, shift)
  e1 = Div (n, sqrt2)
  e2 = Erf (e1)
  e3 = Add (e2, one)
  e4 = Mul (n, e3)
  y = Mul (e4, half)
}"""

SHAPES = """<ir_version: 8, opset_import: ["" : 17]>
shapes (float[N, 4] x) => (float[M, 4] y, int64[K] numbers)
<int64[1] zero = {0}, int64[1] one = {1}, int64 start = {0}, int64 step = {1}, int64 none = {0},
 int64[1] four = {4}, int64[2] twice = {2, 1}, float[1, 4] row>
{
  s = Shape (x)
  n = Gather <axis = 0> (s, none)
  numbers = Range (start, n, step)
  shape = Concat <axis = 0> (one, four)
  filled = ConstantOfShape <value = float[1] {2.0}> (shape)
  wide = Expand (filled, s)
  tiled = Tile (row, twice)
  cut = Slice (tiled, zero, one, zero)
  z = Add (wide, cut)
  y = Mul (z, x)
}"""

CONTROL = """<ir_version: 8, opset_import: ["" : 17]>
control (float[2, 2] x, bool choice) => (float[2, 2] y, float[2, 2] z)
<float[2, 2] W = {1, 2, 3, 4}, int64 rounds = {3}, bool go = {1}>
{
  y = If (choice) <
    then_branch = yes () => (float[2, 2] yes_out) { yes_out = MatMul (x, W) },
    else_branch = no () => (float[2, 2] no_out) { no_out = Add (x, W) }
  >
  z = Loop (rounds, go, x) <
    body = step (int64 i, bool before, float[2, 2] state) => (bool after, float[2, 2] next) {
      after = Identity (before)
      next = Mul (state, W)
    }
  >
}"""

FUNCTIONS = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
functions (float[2, 4] x) => (float[2, 4] y)
<float[4, 4] W>
{
  a = own.twice <factor = 2.0> (x)
  y = MatMul (a, W)
}
<domain: "own", opset_import: ["" : 17]>
twice <factor> (a) => (b) {
  f = Constant <value_float: float = @factor> ()
  b = Mul (a, f)
}"""

INTEGERS = """<ir_version: 10, opset_import: ["" : 21]>
integers (float[1, 4] x) => (float[1, 4] y)
<float scale = {0.1}, uint8 point = {128}, int8[4, 4] W = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7},
 float[4] scales = {0.1, 0.2, 0.3, 0.4}, int8[4] points = {0, 0, 0, 0}>
{
  a = QuantizeLinear (x, scale, point)
  b = DequantizeLinear (a, scale, point)
  w = DequantizeLinear <axis = 1> (W, scales, points)
  c = MatMul (b, w)
  d = QuantizeLinear (c, scale, point)
  y = DequantizeLinear (d, scale, point)
}"""

PICTURES = """<ir_version: 8, opset_import: ["" : 17]>
pictures (float[1, 4, 6, 6] x) => (float[1, A, B, C] y)
<float[4, 4, 2, 2] W, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}, float[4] scales = {1, 1, 2, 2},
 float[4] slope = {0.1, 0.2, 0.3, 0.4}, int64[1] axis = {1}, float three = {3}, float six = {6}>
{
  a = Pad (x, pads)
  b = ConvTranspose <strides = [2, 2]> (a, W)
  c = Resize <mode = "nearest"> (b, , scales)
  d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
  e = Transpose <perm = [0, 2, 3, 1]> (d)
  f = Transpose <perm = [0, 3, 1, 2]> (e)
  g = DepthToSpace <blocksize = 2> (f)
  h = Add (g, three)
  zero = Constant <value_float = 0.0> ()
  i = Clip (h, zero, six)
  j = Div (i, six)
  k = Mul (g, j)
  l = Einsum <equation = "nchw,nchw->nhw"> (k, k)
  m = Unsqueeze (l, axis)
  n = Concat <axis = 1> (m, k)
  y = Elu (n)
}"""

WORDS = """<ir_version: 8, opset_import: ["" : 17]>
words (int64[N, T] ids) => (float[A, B, C, D] y, float[N, T, 1] mean)
<float[9, 4] table, float[1, 12, 4] W, float[1, 12, 3] R, float[1, 24] B>
{
  e = Gather (table, ids)
  t = Transpose <perm = [1, 0, 2]> (e)
  y, last, cell = LSTM <hidden_size = 3> (t, W, R, B)
  mean = ReduceMean <axes = [2], keepdims = 1> (e)
}"""

TEXTS = (CONVOLUTIONS, ATTENTION, SHAPES, CONTROL, FUNCTIONS, INTEGERS, PICTURES, WORDS)

EXTERNAL_FILE = "weights.bin"
"""The file beside the model that one of them keeps a weight in."""

_LARGEST = 20_000


@cache
def seeds() -> tuple[bytes, ...]:
    """All of them, serialized: our own several times, for they are more like models in use."""
    own = [_with_weights(parse_model(text)) for text in TEXTS]
    own += [_external(own[0]), _sparse()]
    return tuple(m.SerializeToString() for m in own) * 20 + _operators()


def external_content() -> bytes:
    """What belongs into EXTERNAL_FILE."""
    return np.linspace(-1, 1, 4 * 5).astype(np.float32).tobytes()


def _with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Draw the weights that the text only declares."""
    generator = np.random.default_rng(0)
    for value in model.graph.value_info:
        shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        drawn = generator.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(drawn, value.name))
    del model.graph.value_info[:]
    return model


def _external(model: onnx.ModelProto) -> onnx.ModelProto:
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    weight = next(t for t in twin.graph.initializer if t.name == "W3")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", EXTERNAL_FILE), ("offset", "0"), ("length", "80")):
        weight.external_data.add(key=key, value=value)
    return twin


def _sparse() -> onnx.ModelProto:
    values = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "W")
    indices = numpy_helper.from_array(np.array([0, 5, 11], np.int64), "W_indices")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "sparse",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        sparse_initializer=[helper.make_sparse_tensor(values, indices, [4, 3])],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _operators() -> tuple[bytes, ...]:
    """One small model for each operator and each of its forms, as the onnx package has them."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    paths = sorted(folder.glob("*/model.onnx"))
    return tuple(p.read_bytes() for p in paths if p.stat().st_size < _LARGEST)


def draw(source: random.Random) -> bytes:
    """One of them."""
    return source.choice(seeds())
