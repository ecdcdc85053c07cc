"""Clips of what lies within their bounds already."""

from __future__ import annotations

import pytest

from onnxq.rules import RemoveRedundantClips


def _text(body: str, outputs: str = "float[1,2,4,4] y") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,2,4,4] x) => ({outputs})
    <float zero = {{0}}, float one = {{1}}, float two = {{2}}, float minus = {{-1}},
     int64[4] shape = {{1, 2, 4, 4}}> {{ {body} }}"""


_GONE = [
    "a = Sigmoid(x) y = Relu(a)",
    "a = Sigmoid(x) y = Clip(a, zero, one)",
    "a = Softmax(x) y = Relu(a)",
    "a = HardSigmoid(x) y = Clip(a, zero, two)",
    "a = Exp(x) y = Relu(a)",
    "a = Abs(x) y = Abs(a)",
    "b = Abs(x) a = Sqrt(b) y = Relu(a)",
    "a = Tanh(x) y = Clip(a, minus, one)",
    "a = Tanh(x) y = Max(a, minus)",
    "a = Relu(x) y = Relu(a)",
    "a = Clip(x, zero, one) y = Clip(a, minus, two)",
    "a = Mul(x, x) y = Relu(a)",
    "a = Pow(x, two) y = Abs(a)",
    "a = Relu(x) b = Exp(x) c = Add(a, b) y = Relu(c)",
    "a = Relu(x) b = Exp(x) c = Mul(a, b) y = Relu(c)",
    "a = Relu(x) b = Exp(x) c = Concat<axis = 1>(a, b) d, e = Split<axis = 1>(c) y = Relu(d)",
    "a = Relu(x) b = MaxPool<kernel_shape = [3,3], pads = [1,1,1,1]>(a) y = Relu(b)",
    "a = Relu(x) b = AveragePool<kernel_shape = [3,3], pads = [1,1,1,1], "
    "count_include_pad = 1>(a) y = Relu(b)",
    "a = Relu(x) b = Transpose<perm = [0,1,3,2]>(a) y = Relu(b)",
    "a = Relu(x) b = Reshape(a, shape) y = Relu(b)",
    "a = Exp(x) b = ReduceSum(a) y = Relu(b)",
]
_STAYING = [
    "a = Sigmoid(x) y = Clip(a, one, two)",
    "a = Tanh(x) y = Relu(a)",
    "a = Clip(x, minus, one) y = Relu(a)",
    "a = Neg(x) y = Relu(a)",
    "a = Relu(x) b = Sub(a, x) y = Relu(b)",
    "a = Mul(x, one) y = Relu(a)",
    "a = Relu(x) b = Concat<axis = 1>(a, x) c, d = Split<axis = 1>(b) y = Relu(c)",
    "y = Relu(x)",
]


@pytest.mark.parametrize("body", _GONE)
def test_removed(applying, body):
    outcome = applying(_text(f"{body} z = Neg(y)", "float z"), RemoveRedundantClips())
    assert len(outcome.applied) == 1
    assert outcome.ops[-1] == "Neg"


@pytest.mark.parametrize("body", _STAYING)
def test_staying(applying, body):
    outcome = applying(_text(body), RemoveRedundantClips())
    assert not outcome.applied
    assert not outcome.refused


def test_what_is_said(applying):
    outcome = applying(_text("a = Sigmoid(x) y = Relu(a)"), RemoveRedundantClips())
    assert outcome.applied == ["removed: its input lies from 0 to 1"]
    assert outcome.ops == ["Sigmoid"]
    assert [t.name for t in outcome.model.outputs] == ["y"]


def test_two_names_of_outputs(applying):
    text = _text("a = Sigmoid(x) y = Relu(a)", "float[1,2,4,4] y, float[1,2,4,4] a")
    outcome = applying(text, RemoveRedundantClips())
    assert outcome.ops == ["Sigmoid", "Relu"]
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]
