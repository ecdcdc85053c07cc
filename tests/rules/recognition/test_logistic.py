"""Sigmoid, SiLU and Tanh spelled as quotients of exponentials."""

from __future__ import annotations

import pytest

from onnxq.rules import FuseLogistic, FuseTanhSigmoid

_CONSTANTS = """<float one = {1}, float[1] two = {2}, float half = {0.5}, float minus = {-1},
 float three = {3}, float[1,1,1] wide = {1}>"""


def _text(body: str, outputs: str = "float[2,5] y") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,5] x, float[2,5] w) => ({outputs}) {_CONSTANTS} {{ {body} }}"""


_E = "n = Neg(x) e = Exp(n)"

_SPELLINGS = {
    "1 / (1 + exp(-x))": (f"{_E} a = Add(e, one) y = Div(one, a)", ["Sigmoid"]),
    "reciprocal": (f"{_E} a = Add(one, e) y = Reciprocal(a)", ["Sigmoid"]),
    "-x as a product": ("n = Mul(x, minus) e = Exp(n) a = Add(one, e) y = Div(one, a)",
                        ["Sigmoid"]),
    "e^x / (1 + e^x)": ("e = Exp(x) a = Add(e, one) y = Div(e, a)", ["Sigmoid"]),
    "e^x / (e^x + e^-x)": (f"{_E} p = Exp(x) a = Add(e, p) y = Div(p, a)", ["Mul", "Sigmoid"]),
    "1 / (1 + e^x)": ("e = Exp(x) a = Add(e, one) y = Div(one, a)", ["Mul", "Sigmoid"]),
    "2 / (1 + e^-x)": (f"{_E} a = Add(e, one) y = Div(two, a)", ["Sigmoid", "Mul"]),
    "1 / (2 + 2e^-x)": (f"{_E} m = Mul(e, two) a = Add(m, two) y = Div(one, a)",
                        ["Sigmoid", "Mul"]),
    "x / (1 + e^-x)": (f"{_E} a = Add(e, one) y = Div(x, a)", ["Sigmoid", "Mul"]),
    "w / (1 + e^-x)": (f"{_E} a = Add(e, one) y = Div(w, a)", ["Sigmoid", "Mul"]),
    "tanh": (f"{_E} p = Exp(x) a = Sub(p, e) b = Add(p, e) y = Div(a, b)", ["Tanh"]),
    "tanh, once": ("m = Mul(x, two) p = Exp(m) a = Sub(p, one) b = Add(p, one) y = Div(a, b)",
                   ["Tanh"]),
    "tanh, negative": ("n = Neg(x) m = Mul(n, two) p = Exp(m) a = Sub(one, p) b = Add(one, p) "
                       "y = Div(a, b)", ["Tanh"]),
}  # fmt: skip


@pytest.mark.parametrize("name", _SPELLINGS)
def test_spellings(applying, name):
    body, ops = _SPELLINGS[name]
    outcome = applying(_text(body), FuseLogistic())
    assert outcome.ops == ops


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("e = Exp(x) a = Add(e, two) y = Div(one, a)",
         "the factors differ in 1·exp(1·x) + 2·exp(0·x)"),
        (f"{_E} p = Exp(x) m = Mul(p, two) a = Add(e, m) y = Div(one, a)",
         "the factors differ in 1·exp(-1·x) + 2·exp(1·x)"),
    ],
)  # fmt: skip
def test_near_misses(applying, body, reason):
    assert applying(_text(body), FuseLogistic()).refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "e = Exp(x) y = Div(one, e)",
        "e = Exp(x) f = Exp(w) a = Add(e, f) y = Div(e, a)",
        f"{_E} p = Exp(x) a = Add(p, e) y = Div(w, a)",
        "e = Exp(x) a = Mul(e, e) b = Add(a, one) y = Div(one, b)",
        "a = Add(x, one) y = Div(one, a)",
        f"{_E} p = Exp(x) a = Add(p, e) b = Sub(p, one) y = Div(b, a)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body), FuseLogistic())
    assert not outcome.applied
    assert not outcome.refused


def test_a_numerator_that_adds_axes(applying):
    text = _text(f"{_E} a = Add(e, one) y = Div(wide, a)", "float[1,2,5] y")
    assert applying(text, FuseLogistic()).ops == ["Neg", "Exp", "Add", "Div"]


def test_other_types_are_refused(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (double[3] x) => (double[3] y) <double one = {1}>
    { n = Neg(x) e = Exp(n) a = Add(e, one) y = Div(one, a) }"""
    assert applying(text, FuseLogistic()).refused == ["the input is float64, not float32"]


_TANH = {
    "half behind": ("h = Mul(x, half) t = Tanh(h) a = Add(t, one) y = Mul(a, half)", ["Sigmoid"]),
    "halved": ("h = Div(x, two) t = Tanh(h) a = Add(one, t) y = Div(a, two)", ["Sigmoid"]),
    "half within": ("h = Mul(x, half) t = Tanh(h) a = Mul(t, half) y = Add(a, half)", ["Sigmoid"]),
    "no half before": ("t = Tanh(x) a = Mul(t, half) y = Add(a, half)", ["Mul", "Sigmoid"]),
    "half in a product": ("t = Tanh(x) a = Add(t, one) p = Mul(a, w) y = Mul(p, half)",
                          ["Mul", "Sigmoid", "Mul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", _TANH)
def test_by_tanh(applying, name):
    body, ops = _TANH[name]
    assert applying(_text(body), FuseTanhSigmoid()).ops == ops


def test_by_tanh_near_misses(applying):
    lone = applying(_text("t = Tanh(x) y = Add(t, one)"), FuseTanhSigmoid())
    assert lone.refused == ["the factor 2 meets no scalar behind"]
    for body in (
        "t = Tanh(x) y = Add(t, half)",
        "t = Tanh(x) a = Mul(t, half) b = Add(a, half) y = Add(b, t)",
        "t = Tanh(x) y = Sub(one, t)",
        "t = Exp(x) a = Mul(t, half) y = Add(a, half)",
    ):
        outcome = applying(_text(body), FuseTanhSigmoid())
        assert not outcome.applied
        assert not outcome.refused
