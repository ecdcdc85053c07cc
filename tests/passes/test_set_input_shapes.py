"""Static shapes for inputs: what follows, and what does not fit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.errors import UsageError
from onnxq.graph import Model, load
from onnxq.passes import FoldConstants, SetInputShapes, apply_passes

_TEXT = """<ir_version: 8, opset_import: ["": 17]>
  g (float[batch,3,H,W] image, float[batch,K] mask) => (float[batch,R] y, float[batch,K] z)
  <int64 i = {0}, int64[1] rest = {-1}, int64[1] a = {0}, float[1,3,32,32] inner> {
    inner = Relu(image) s = Shape(inner) n = Gather(s, i) u = Unsqueeze(n, a)
    t = Concat <axis = 0> (u, rest) y = Reshape(inner, t) z = Neg(mask) }"""


def _applied(shapes, text: str = _TEXT) -> Model:
    model = load(parse_model(text))
    apply_passes(model, [SetInputShapes(shapes)])
    return model


def test_inputs_and_outputs_become_static(run_model):
    model = _applied({"image": (2, 3, 8, 4)})
    found = {t.name: t.shape for t in (*model.inputs, *model.outputs)}
    assert found == {"image": (2, 3, 8, 4), "mask": (2, "K"), "y": (2, 96), "z": (2, "K")}
    (report,) = apply_passes(model, [FoldConstants()])
    assert report.applied
    assert [node.op for node in model.nodes] == ["Relu", "Reshape", "Neg"]
    feed = {"image": np.ones((2, 3, 8, 4), np.float32), "mask": np.ones((2, 5), np.float32)}
    before, after = run_model(parse_model(_TEXT), feed), run_model(model.to_proto(), feed)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    onnx.checker.check_model(model.to_proto(), full_check=True)


def test_stale_declarations_of_inner_tensors_are_dropped():
    proto = _applied({"image": (2, 3, 8, 4)}).to_proto()
    (inner,) = proto.graph.value_info
    assert inner.name == "inner"
    assert not inner.type.tensor_type.HasField("shape")


def test_it_says_what_it_did():
    model = load(parse_model(_TEXT))
    (report,) = apply_passes(model, [SetInputShapes({"mask": (4, 7)})])
    assert [event.what for event in report.applied] == [
        "has the shape [4, 3, 'H', 'W'] now",
        "has the shape [4, 7] now",
    ]
    (report,) = apply_passes(model, [SetInputShapes({"mask": (4, 7)})])
    assert not report.events
    assert not SetInputShapes.exact


def test_names_that_say_nothing_are_not_one_dimension():
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (float[N,dynamic,dynamic] x, float[dynamic,1] v) => (float[A,B,C] y) { y = Add(x, v) }"""
    model = _applied({"x": (1, 48, 320)}, text)
    assert [t.shape for t in model.inputs] == [(1, 48, 320), ("dynamic", 1)]
    proto = parse_model(text)
    for axis in (1, 2):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = -1
    model = load(proto)
    apply_passes(model, [SetInputShapes({"x": (1, 48, 320)})])
    assert model.inputs[0].shape == (1, 48, 320)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (
            {"imag": (1, 3, 8, 8)},
            "the model has no input 'imag'; its inputs are 'image', 'mask'; did you mean 'image'?",
        ),
        (
            {"w": (1,)},
            "the model has no input 'w'; its inputs are 'image', 'mask'; name one of them",
        ),
        (
            {"image": (1, 3, 8)},
            "input 'image': a shape of 3 axes was given, it has 4; "
            "it is declared [batch, 3, H, W]; give one size per axis",
        ),
        (
            {"image": (1, 4, 8, 8)},
            "input 'image': axis 1 cannot be 4, the model fixes it to 3; "
            "it is declared [batch, 3, H, W]; only free axes can be set",
        ),
        ({"image": (1, 3, 0, 8)}, "input 'image': size 0 of axis 2 is below 1"),
        (
            {"image": (1, 3, 8, 8), "mask": (2, 5)},
            "input 'mask': dimension 'batch' would be 1 and 2; "
            "the model gives the axes of two inputs this name; give both the same size",
        ),
    ],
)
def test_what_does_not_fit(shapes, text):
    with pytest.raises(UsageError) as caught:
        _applied(shapes)
    assert str(caught.value) == text


def test_inputs_that_are_no_tensors():
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (seq(float[N]) x) => (float[A] y) { y = ConcatFromSequence <axis = 0> (x) }"""
    with pytest.raises(UsageError, match="its shape cannot be set"):
        _applied({"x": (1,)}, text)
