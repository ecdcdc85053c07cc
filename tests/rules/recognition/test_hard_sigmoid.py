"""HardSigmoid in its spellings, and what is none."""

from __future__ import annotations

import pytest

from onnxq.rules import FuseHardSigmoid

_HEAD = """<ir_version: 8, opset_import: ["" : 13]>
g (float[2,4,3,3] x) => (float[2,4,3,3] y)
<float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666667},
 float half = {0.5}, float one = {1.0}, float minus = {-1.0}> """

_SPELLINGS = {
    "Add, Clip": "{ a = Add(x, three) y = Clip(a, zero, six) }",
    "constant first": "{ a = Add(three, x) y = Clip(a, zero, six) }",
    "scaled first": "{ a = Mul(sixth, x) b = Add(a, half) y = Clip(b, zero, one) }",
    "Div": "{ a = Div(x, six) b = Add(a, half) y = Clip(b, zero, one) }",
    "Min of Max": "{ a = Add(x, three) b = Max(a, zero) y = Min(six, b) }",
    "Min of Relu": "{ a = Add(x, three) b = Relu(a) y = Min(b, six) }",
    "Sub of a negative": "{ n = Neg(three) a = Sub(x, minus) y = Clip(a, zero, one) }",
}


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_spellings(applying, spelling):
    outcome = applying(_HEAD + _SPELLINGS[spelling], FuseHardSigmoid())
    assert len(outcome.applied) == 1
    assert "HardSigmoid" in outcome.ops
    assert not {"Clip", "Min", "Relu", "Add"} & set(outcome.ops)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ a = Add(x, three) y = Clip(a, minus, six) }", "clips from -1 to 6, not from 0 to h"),
    ],
)
def test_near_misses(applying, body, reason):
    outcome = applying(_HEAD + body, FuseHardSigmoid())
    assert outcome.refused == [reason]


@pytest.mark.parametrize("body", ["{ y = Clip(x, zero, six) }", "{ a = Add(x, one) y = Relu(a) }"])
def test_other_things(applying, body):
    outcome = applying(_HEAD + body, FuseHardSigmoid())
    assert not outcome.applied
    assert not outcome.refused
