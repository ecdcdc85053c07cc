"""Mish without Softplus."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import ExpandMish


def _text(body: str, shape: str = "2,400", opset: int = 18, outputs: str = "") -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x, float[{shape}] w) => (float[{shape}] y{outputs})
    <float one = {{1}}, float two = {{2}}> {{ {body} }}"""


_SPELLINGS = [
    "y = Mish(x)",
    "s = Softplus(x) t = Tanh(s) y = Mul(x, t)",
    "s = Softplus(x) t = Tanh(s) y = Mul(t, x)",
    "e = Exp(x) a = Add(e, one) s = Log(a) t = Tanh(s) y = Mul(x, t)",
    "e = Exp(x) a = Add(one, e) s = Log(a) t = Tanh(s) y = Mul(t, x)",
]


@pytest.mark.parametrize("body", _SPELLINGS)
def test_spellings(applying, body):
    outcome = applying(_text(body), ExpandMish())
    assert outcome.ops == ["Clip", "Exp", "Add", "Mul", "Add", "Div", "Mul"]


def test_old_operator_sets(applying):
    assert "Clip" in applying(_text(_SPELLINGS[1], opset=9), ExpandMish()).ops


def test_small_tensors_stay(applying):
    outcome = applying(_text("y = Mish(x)", "2,5"), ExpandMish())
    assert outcome.refused == ["fewer than 512 elements are quicker in one operator"]


@pytest.mark.parametrize(
    "body",
    [
        "s = Softplus(w) t = Tanh(s) y = Mul(x, t)",
        "t = Tanh(x) y = Mul(x, t)",
        "e = Exp(x) a = Add(e, two) s = Log(a) t = Tanh(s) y = Mul(x, t)",
        "s = Softplus(x) t = Tanh(s) y = Add(x, t)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body), ExpandMish())
    assert not outcome.applied
    assert not outcome.refused


def test_precision_everywhere(applying, run_model):
    outcome = applying(_text("y = Mish(x)"), ExpandMish())
    x = np.resize(np.array([-1e4, -90, -50, -20, -5, -1e-4, 0, 1e-4, 5, 20, 21, 90, 1e4]), (2, 400))
    found = run_model(outcome.after, {"x": x.astype(np.float32), "w": x.astype(np.float32)})["y"]
    given = x.astype(np.float32).astype(np.float64)
    expected = given * np.tanh(np.logaddexp(0.0, given))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-37)


def test_unknown_shapes_count_as_small(applying):
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[2,8] x, int64[r] shape) => (float y) { v = Reshape(x, shape) y = Mish(v) }"""
    outcome = applying(text, ExpandMish(), runs=False)
    assert not outcome.applied


def test_other_types_are_refused(applying):
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float16[800] x) => (float16[800] y) { y = Mish(x) }"""
    outcome = applying(text, ExpandMish(), runs=False)
    assert outcome.refused == ["the input is float16, not float32"]
