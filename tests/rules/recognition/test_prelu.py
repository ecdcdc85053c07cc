"""PRelu spelled by Relu."""

from __future__ import annotations

import pytest

from onnxq.rules import FuseLeakyRelu, FusePRelu
from onnxq.rules.fixpoint import rewrite_all


def _text(body: str, shape: str = "2,4,3,3") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 16]>
    g (float[{shape}] x) => (float[{shape}] y)
    <float[4,1,1] s = {{0.1, -0.2, 0.3, 1.5}}, float[1,4,1,1] r = {{0.1, 0.2, 0.3, 0.4}},
     float zero = {{0}}, float half = {{0.5}}, float[2,4,3,3] full = {{{", ".join(["0.5"] * 72)}}}>
    {{ {body} }}"""


class _Both:
    exact = True

    def apply(self, model):
        yield from rewrite_all(model, (FuseLeakyRelu(), FusePRelu()))


_NEGATIVE = "r1 = Relu(x) n = Neg(x) m = Relu(n)"

_SPELLINGS = {
    "Sub": f"{_NEGATIVE} k = Mul(m, s) y = Sub(r1, k)",
    "Add of a negative": f"{_NEGATIVE} k = Mul(r, m) l = Neg(k) y = Add(l, r1)",
    "Min": "r1 = Relu(x) m = Min(x, zero) k = Mul(m, r) y = Add(r1, k)",
    "x - |x|": "r1 = Relu(x) b = Abs(x) d = Sub(x, b) k = Mul(s, d) l = Mul(k, half) "
    "y = Add(r1, l)",
}


@pytest.mark.parametrize("name", _SPELLINGS)
def test_spellings(applying, name):
    assert applying(_text(_SPELLINGS[name]), _Both()).ops == ["PRelu"]


@pytest.mark.parametrize(
    "body",
    [
        f"{_NEGATIVE} k = Mul(m, s) y = Sub(k, r1)",
        "r1 = Relu(x) e = Exp(x) k = Mul(e, s) y = Add(r1, k)",
        "r1 = Relu(x) k = Mul(x, s) y = Add(r1, k)",
        "r1 = Relu(x) m = Min(x, zero) k = Mul(m, m) y = Add(r1, k)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body), FusePRelu())
    assert not outcome.applied
    assert not outcome.refused


def test_slopes_that_broadcast(applying):
    text = _text(f"{_NEGATIVE} k = Mul(m, s) y = Sub(r1, k)", "2,1,3,3").replace(
        "(float[2,1,3,3] y)", "(float[2,4,3,3] y)"
    )
    outcome = applying(text, FusePRelu())
    assert outcome.refused == ["slopes of shape [4, 1, 1] may broadcast x"]
