"""Softsign, Elu and Swish, which exporters rarely spell."""

from __future__ import annotations

import pytest

from onnxq.rules import ExpandSwish, FuseElu, FuseSoftsign

_CONSTANTS = "<float one = {1}, float[1] half = {0.5}, float two = {2}, float zero = {0}>"


def _text(body: str, shape: str = "2,5", opset: int = 13) -> str:
    return f"""<ir_version: 10, opset_import: ["" : {opset}]>
    g (float[{shape}] x, float[{shape}] w) => (float[{shape}] y) {_CONSTANTS} {{ {body} }}"""


def test_softsign(applying):
    for body in ("a = Abs(x) b = Add(a, one) y = Div(x, b)", "a = Abs(x) b = Add(one, a) "
                 "y = Div(x, b)"):  # fmt: skip
        assert applying(_text(body), FuseSoftsign()).ops == ["Softsign"]


def test_no_softsign(applying):
    near = applying(_text("a = Abs(x) b = Add(a, two) y = Div(x, b)"), FuseSoftsign())
    assert near.refused == ["x is divided by 2 + 1·|x|, not by 1 + |x|"]
    for body in ("a = Abs(w) b = Add(a, one) y = Div(x, b)", "b = Add(x, one) y = Div(x, b)"):
        outcome = applying(_text(body), FuseSoftsign())
        assert not outcome.applied
        assert not outcome.refused


_ELU = {
    "Where": "c = Greater(x, zero) e = Exp(x) b = Sub(e, one) y = Where(c, x, b)",
    "Where, clipped": "c = Greater(x, zero) n = Min(x, zero) e = Exp(n) b = Sub(e, one) "
    "y = Where(c, x, b)",
    "Where, alpha": "c = Less(x, zero) e = Exp(x) b = Sub(e, one) d = Mul(b, half) "
    "y = Where(c, d, x)",
    "Relu and Min": "r = Relu(x) e = Exp(x) b = Sub(e, one) d = Mul(b, two) m = Min(d, zero) "
    "y = Add(r, m)",
    "Relu and Relu": "r = Relu(x) e = Exp(x) b = Sub(one, e) d = Mul(b, half) m = Relu(d) "
    "y = Sub(r, m)",
    "Relu and exponential": "r = Relu(x) n = Min(x, zero) e = Exp(n) b = Sub(e, one) y = Add(r, b)",
}


@pytest.mark.parametrize("name", _ELU)
def test_elu(applying, name):
    assert applying(_text(_ELU[name]), FuseElu()).ops == ["Elu"]


def test_the_quick_spelling_of_large_tensors_stays(applying):
    text = _text(_ELU["Relu and exponential"], "64,80")
    assert "Elu" not in applying(text, FuseElu()).ops
    assert applying(_text(_ELU["Where"], "64,80"), FuseElu()).ops == ["Elu"]


@pytest.mark.parametrize(
    "body",
    [
        "r = Relu(x) e = Exp(x) b = Sub(e, one) y = Add(r, b)",
        "r = Relu(x) e = Exp(w) b = Sub(e, one) m = Min(b, zero) y = Add(r, m)",
        "r = Relu(x) e = Exp(x) b = Sub(e, half) m = Min(b, zero) y = Add(r, m)",
        "r = Relu(x) e = Exp(x) b = Sub(e, one) m = Min(b, zero) y = Sub(r, m)",
        "c = Greater(x, zero) e = Exp(x) b = Sub(e, one) y = Where(c, b, x)",
        "c = Greater(x, zero) e = Exp(x) b = Sub(e, one) y = Where(c, w, b)",
    ],
)
def test_no_elu(applying, body):
    outcome = applying(_text(body), FuseElu())
    assert not outcome.applied
    assert not outcome.refused


def test_nearly_elu(applying):
    body = "c = Greater(x, zero) e = Exp(x) b = Sub(one, e) y = Where(c, x, b)"
    assert applying(_text(body), FuseElu()).refused == ["alpha is -1"]
    text = _text(_ELU["Where"]).replace("float", "double")
    assert applying(text, FuseElu()).refused == ["the input is float64, not float32"]


def test_swish_of_other_types_is_refused(applying):
    text = _text("y = Swish(x)", opset=24).replace("float", "double")
    outcome = applying(text, ExpandSwish(), runs=False)
    assert outcome.refused == ["the input is float64, not float32"]


def test_swish(applying):
    outcome = applying(_text("y = Swish(x)", opset=24), ExpandSwish())
    assert outcome.ops == ["Sigmoid", "Mul"]
    scaled = applying(_text("y = Swish<alpha = 1.702>(x)", opset=24), ExpandSwish())
    assert scaled.ops == ["Mul", "Sigmoid", "Mul"]
