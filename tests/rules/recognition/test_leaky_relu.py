"""LeakyRelu and Relu spelled by what they do to each sign."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import FuseLeakyRelu

_CONSTANTS = """<float zero = {0}, float[1] tenth = {0.1}, float ten = {10}, float two = {2},
 float one = {1}, float low = {0.45}, float high = {0.55}, float minus = {-0.1},
 float[4,1,1] same = {0.2, 0.2, 0.2, 0.2}, float[4,1,1] slopes = {0.1, 0.2, 0.3, 0.4},
 float[4,1,1] none = {0, 0, 0, 0}>"""


def _text(body: str, outputs: str = "float[2,4,3,3] y", opset: int = 16) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[2,4,3,3] x) => ({outputs}) {_CONSTANTS} {{ {body} }}"""


_LEAKY = {
    "Max": ("a = Mul(x, tenth) y = Max(x, a)", 0.1),
    "Max, other order": ("a = Mul(tenth, x) y = Max(a, x)", 0.1),
    "Max of a quotient": ("a = Div(x, ten) y = Max(x, a)", 0.1),
    "Min of a steeper line": ("a = Mul(x, two) y = Min(x, a)", 2.0),
    "Relu minus Relu": ("r = Relu(x) n = Neg(x) m = Relu(n) s = Mul(m, tenth) y = Sub(r, s)", 0.1),
    "Relu plus Relu": ("r = Relu(x) n = Neg(x) m = Relu(n) s = Mul(minus, m) y = Add(s, r)", 0.1),
    "Relu plus Min": ("r = Relu(x) m = Min(x, zero) s = Mul(m, tenth) y = Add(r, s)", 0.1),
    "Max and Min": ("r = Max(x, zero) m = Min(zero, x) s = Div(m, ten) y = Add(r, s)", 0.1),
    "Abs": ("b = Abs(x) c = Mul(b, low) d = Mul(x, high) y = Add(c, d)", 0.1),
    "Where": ("c = Greater(x, zero) a = Mul(x, tenth) y = Where(c, x, a)", 0.1),
    "Where, or equal": ("c = GreaterOrEqual(x, zero) a = Mul(x, tenth) y = Where(c, x, a)", 0.1),
    "Where, less": ("c = Less(x, zero) a = Mul(x, tenth) y = Where(c, a, x)", 0.1),
    "Where, turned": ("c = LessOrEqual(zero, x) a = Mul(x, tenth) y = Where(c, x, a)", 0.1),
    "PRelu": ("y = PRelu(x, tenth)", 0.1),
    "PRelu of equal slopes": ("y = PRelu(x, same)", 0.2),
}
_RELU = {
    "PRelu of zeros": "y = PRelu(x, none)",
    "LeakyRelu of zero": "y = LeakyRelu<alpha = 0.0>(x)",
    "Where": "c = Greater(x, zero) y = Where(c, x, zero)",
    "Where, turned": "c = Less(x, zero) y = Where(c, zero, x)",
}


@pytest.mark.parametrize("name", _LEAKY)
def test_leaky(applying, name):
    body, slope = _LEAKY[name]
    outcome = applying(_text(body), FuseLeakyRelu())
    assert outcome.ops == ["LeakyRelu"]
    assert outcome.model.nodes[0].attrs["alpha"] == pytest.approx(slope, rel=1e-6)
    assert outcome.applied[-1] == f"became LeakyRelu with slope {slope:.4g}"


@pytest.mark.parametrize("name", _RELU)
def test_relu(applying, name):
    assert applying(_text(_RELU[name]), FuseLeakyRelu()).ops == ["Relu"]


def test_the_lower_half(applying):
    body = "c = Greater(x, zero) y = Where(c, zero, x)"
    assert applying(_text(body), FuseLeakyRelu()).ops == ["Min"]


def test_a_scaled_one(applying):
    body = "r = Relu(x) a = Mul(r, two) n = Neg(x) m = Relu(n) y = Sub(a, m)"
    outcome = applying(_text(body), FuseLeakyRelu())
    assert outcome.ops == ["LeakyRelu", "Mul"]
    assert outcome.model.nodes[0].attrs["alpha"] == pytest.approx(0.5)


def test_a_factor_goes_into_a_scalar_behind(applying):
    body = "b = Abs(x) d = Sub(x, b) e = Exp(x) p = Mul(d, e) h = Mul(p, low) y = Neg(h)"
    assert sorted(applying(_text(body), FuseLeakyRelu()).ops) == ["Exp", "Min", "Mul", "Mul", "Neg"]


def test_seen_from_an_intermediate_tensor(applying):
    body = "s = Mul(x, two) a = Mul(s, tenth) m = Max(s, a) y = Add(m, s)"
    outcome = applying(_text(body), FuseLeakyRelu())
    assert outcome.ops[:2] == ["Mul", "LeakyRelu"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul(x, tenth) b = Exp(x) y = Max(b, a)",
        "y = PRelu(x, slopes)",
        "a = Relu(x) y = Add(a, x)",
        "a = Mul(x, two) y = Add(a, x)",
        "a = Add(x, one) c = Greater(a, zero) y = Where(c, x, zero)",
        "c = Greater(x, one) y = Where(c, x, zero)",
        "c = Greater(x, zero) y = Where(c, x, one)",
        "y = LeakyRelu(x)",
        "y = Max(x, zero)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body), FuseLeakyRelu())
    assert not outcome.applied
    assert not outcome.refused


def test_outputs_within_stay(applying):
    body = "a = Mul(x, tenth) y = Max(x, a)"
    outcome = applying(_text(body, "float[2,4,3,3] y, float[2,4,3,3] a"), FuseLeakyRelu())
    assert sorted(outcome.ops) == ["LeakyRelu", "Mul"]


def test_other_types_are_refused(applying):
    text = """<ir_version: 8, opset_import: ["" : 16]>
    g (double[3] x) => (double[3] y) <double tenth = {0.1}>
    { a = Mul(x, tenth) y = Max(x, a) }"""
    assert applying(text, FuseLeakyRelu()).refused == ["the input is float64, not float32"]


def test_random_slopes(applying):
    generator = np.random.default_rng(1)
    for _ in range(6):
        one, other = generator.uniform(-2, 2, 2)
        text = f"""<ir_version: 8, opset_import: ["" : 16]>
        g (float[5,7] x) => (float[5,7] y) <float a = {{{one}}}, float b = {{{other}}}>
        {{ r = Relu(x) s = Mul(r, a) n = Neg(x) m = Relu(n) t = Mul(m, b) y = Add(s, t) }}"""
        assert applying(text, FuseLeakyRelu()).ops == ["LeakyRelu", "Mul"]
