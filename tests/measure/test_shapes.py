"""Shapes are checked against what ONNX Runtime really computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxq.engine import Optimization, open_session, with_outputs
from onnxq.measure.shapes import static_shapes, without_values


def real_shapes(model: onnx.ModelProto, feed: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by running the model."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    session = open_session(with_outputs(copy, names), optimization=Optimization.NONE)
    return {name: value.shape for name, value in zip(names, session.run(names, feed), strict=True)}


# How exporters write dynamic padding, flattening and expansion.
SHAPE_CHAINS = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 3, H, 11] x) => (float[N, K] y) {
    shape = Shape(x)
    two = Constant<value_int = 2>()
    height = Gather<axis = 0>(shape, two)
    stride = Constant<value = int64 {2}>()
    rows = Div(height, stride)
    zero = Constant<value_ints = [0]>()
    axis = Constant<value_ints = [0]>()
    some = Unsqueeze(rows, axis)
    none = Constant<value_ints = [0, 0, 0]>()
    pads = Concat<axis = 0>(none, some, none, zero)
    padded = Pad(x, pads)
    n = Shape<start = 0, end = 1>(x)
    minus = Constant<value_ints = [-1]>()
    target = Concat<axis = 0>(n, minus)
    flat = Reshape(padded, target)
    wide = Concat<axis = 0>(n, some)
    ones = ConstantOfShape<value = float[1] {1}>(wide)
    y = Concat<axis = 1>(flat, ones)
}"""


@pytest.mark.parametrize(("batch", "height"), [(1, 8), (3, 5)])
def test_computed_shapes(batch: int, height: int) -> None:
    model = onnx.parser.parse_model(SHAPE_CHAINS)
    feed = {"x": np.zeros((batch, 3, height, 11), np.float32)}
    found = static_shapes(model, {"N": batch, "H": height})
    assert found.note == ""
    for name, shape in real_shapes(model, feed).items():
        assert found.shapes[name] == shape, name


def test_whole_input_shapes_win() -> None:
    model = onnx.parser.parse_model(SHAPE_CHAINS)
    found = static_shapes(model, {"N": 9}, {"x": (2, 3, 6, 11)})
    assert found.shapes["y"] == (2, 3 * 6 * (11 + 3) + 3)
    assert found.assumed == ()


BRANCHES = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 4] x, bool unknown) => (float y, float z) {
    n = Shape<start = 0, end = 1>(x)
    one = Constant<value_ints = [1]>()
    single = Equal(n, one)
    flag = Squeeze(single)
    y = If(flag) <
        then_branch = t () => (float a) { a = Squeeze(x) },
        else_branch = e () => (float b) { b = Transpose(x) }>
    z = If(unknown) <
        then_branch = t2 () => (float c) { c = Neg(x) },
        else_branch = e2 () => (float d) { d = Relu(x) }>
}"""


@pytest.mark.parametrize(("batch", "expected"), [(1, (4,)), (3, (4, 3))])
def test_branches(batch: int, expected: tuple[int, ...]) -> None:
    model = onnx.parser.parse_model(BRANCHES)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    found = static_shapes(model, {"N": batch})
    assert found.shapes["y"] == expected
    assert found.shapes["z"] == (batch, 4)


def test_unknown_operators_keep_their_declared_shape() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17, "mine": 1]>
        g (float[N, 4] x) => (float[N, 2] y) <float[N, 6] a> {
            a = mine.Magic(x)
            w = Constant<value = float[6, 2] {1,2,3,4,5,6,7,8,9,10,11,12}>()
            y = MatMul(a, w)
        }""")
    assert static_shapes(model, {"N": 5}).shapes["y"] == (5, 2)


def test_copy_without_values_is_small_and_typed() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        g (bool c, float[1, 64] x) => (float[1, 64] y) {
            y = If(c) <
                then_branch = t () => (float[1, 64] a) { a = MatMul(x, w) },
                else_branch = e () => (float[1, 64] b) { b = MatMul(x, v) }>
        }""")
    weight = np.ones((64, 64), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    body = model.graph.node[0].attribute[1].g
    body.initializer.append(numpy_helper.from_array(weight, "v"))
    light = without_values(model)
    assert light.ByteSize() < 500
    assert list(light.graph.initializer[0].dims) == [64, 64]
    assert static_shapes(model).shapes["y"] == (1, 64)
