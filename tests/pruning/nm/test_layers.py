from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.pruning.nm import find_layers
from onnxq.quant import Pattern
from onnxq.targets import Sparsity, load_target

ANY = Sparsity()


def _model(node, weight, *, inputs="float[1,16,8,8] x", extra=""):
    text = f"""<ir_version: 8, opset_import: ["": 17]>
      g ({inputs}) => (float y) {{ {extra} [n] y = {node} }}"""
    proto = parse_model(text)
    if weight is not None:
        proto.graph.initializer.append(numpy_helper.from_array(weight, "W"))
    return load(proto)


def _ones(*shape, kind=np.float32):
    return np.ones(shape, kind)


@pytest.mark.parametrize(
    ("node", "shape", "axis"),
    [
        ("Conv (x, W)", (5, 16, 3, 3), 1),
        ("Conv <group = 2> (x, W)", (6, 8, 3, 3), 1),
        ("ConvTranspose (x, W)", (16, 5, 3, 3), 0),
        ("MatMul (x, W)", (8, 5), 0),
        ("Gemm (x, W)", (16, 5), 0),
        ("Gemm <transB = 1> (x, W)", (5, 16), 1),
    ],
)
def test_layers_that_can(node, shape, axis):
    able, others = find_layers(_model(node, _ones(*shape)), Pattern(2, 4), ANY)
    assert not others
    assert [(layer.node.name, layer.layout.axis) for layer in able] == [("n", axis)]


@pytest.mark.parametrize(
    ("node", "weight", "reason"),
    [
        ("Conv (x, W)", _ones(8, 3, 3, 3), "3 input channels, no multiple of 4"),
        ("Conv <group = 16> (x, W)", _ones(16, 1, 3, 3), "1 input channels"),
        ("MatMul (x, W)", _ones(2, 8, 5), "only a matrix has one axis of inputs"),
        ("MatMul (x, W)", _ones(8, 5, kind=np.int8), "is int8; sparsify before quantizing"),
        ("MatMul (x, W)", np.full((8, 5), np.nan, np.float32), "contains NaN or infinity"),
    ],
)
def test_layers_that_cannot(node, weight, reason):
    able, [dense] = find_layers(_model(node, weight), Pattern(2, 4), ANY)
    assert not able
    assert (dense.node, dense.weights) == ("n", weight.size)
    assert reason in dense.reason


def test_weights_that_are_not_constant():
    computed = _model("MatMul (x, v)", None, extra="[r] v = Relu (x)")
    _, [dense] = find_layers(computed, Pattern(2, 4), ANY)
    assert dense.reason == "its weight 'v' is computed at run time"
    listed = _model("MatMul (x, W)", _ones(8, 5), inputs="float[1,16,8,8] x, float[8,5] W")
    _, [dense] = find_layers(listed, Pattern(2, 4), ANY)
    assert "may change at run time" in dense.reason


def test_skipped_layers_say_why():
    model = _model("MatMul (x, W)", _ones(8, 5))
    _, [dense] = find_layers(model, Pattern(2, 4), ANY, {"n": "excluded by sparsify.skip[0]"})
    assert dense.reason == "excluded by sparsify.skip[0]"


@pytest.mark.parametrize(
    ("node", "shape", "reason"),
    [
        ("Conv (x, W)", (8, 24, 1, 1), "24 input channels are no multiple of 16"),
        ("Conv (x, W)", (12, 16, 1, 1), "12 output channels are no multiple of 8"),
        ("Conv <group = 2> (x, W)", (16, 16, 1, 1), "without groups"),
        ("ConvTranspose (x, W)", (16, 8, 1, 1), "no sparse form of ConvTranspose"),
        ("MatMul (x, W)", (16, 12), "12 output channels are no multiple of 8"),
        ("Gemm <transB = 1> (x, W)", (12, 16), "12 output channels are no multiple of 8"),
    ],
)
def test_what_an_engine_objects_to(node, shape, reason):
    engine = load_target("tensorrt").sparsity
    _, [dense] = find_layers(_model(node, _ones(*shape)), Pattern(2, 4), engine)
    assert reason in dense.reason


def test_what_an_engine_takes():
    engine = load_target("tensorrt").sparsity
    model = _model("Conv (x, W)", _ones(8, 16, 3, 3))
    assert len(find_layers(model, Pattern(2, 4), engine)[0]) == 1
    _, [dense] = find_layers(model, Pattern(4, 8), engine)
    assert dense.reason == "the engine has no kernel for 4:8, only for 2:4"
    wide = _model("Conv (x, W)", _ones(8, 16, 3, 3, kind=np.float64))
    assert "float64" in find_layers(wide, Pattern(2, 4), engine)[1][0].reason
