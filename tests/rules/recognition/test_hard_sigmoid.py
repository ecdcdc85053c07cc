"""HardSigmoid in its spellings, and what is none."""

from __future__ import annotations

import pytest

from onnxq.rules import FuseHardSigmoid

_HEAD = """<ir_version: 8, opset_import: ["" : 13]>
g (float[2,4,3,3] x) => (float[2,4,3,3] y)
<float three = {3.0}, float zero = {0.0}, float six = {6.0}, float[1] sixth = {0.16666667},
 float half = {0.5}, float[1,1,1,1] one = {1.0}, float minus = {-1.0}, float two = {2.0}> """

_SPELLINGS = {
    "height 1": "{ a = Mul(sixth, x) b = Add(a, half) y = Clip(b, zero, one1) }",
    "Div": "{ a = Div(x, six) b = Add(a, half) y = Clip(b, zero, one1) }",
    "constant first": "{ a = Mul(sixth, x) b = Add(half, a) c = Max(zero, b) y = Min(one, c) }",
    "Min of Relu": "{ a = Add(x, half) b = Relu(a) y = Min(b, one) }",
    "negative slope": "{ a = Sub(half, x) y = Clip(a, zero, one1) }",
    "Sub of a negative": "{ a = Sub(x, minus) y = Clip(a, zero, one1) }",
    "Neg": "{ n = Neg(x) a = Add(n, half) y = Clip(a, zero, one1) }",
    "height divided": "{ a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six) }",
    "height multiplied": "{ a = Add(three, x) b = Clip(a, zero, six) y = Mul(sixth, b) }",
    "Max of Min": "{ a = Add(x, three) b = Min(a, six) c = Max(b, zero) y = Mul(c, sixth) }",
}


def _text(body: str) -> str:
    return _HEAD.replace("float two", "float one1 = {1.0}, float two") + body


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_spellings(applying, spelling):
    outcome = applying(_text(_SPELLINGS[spelling]), FuseHardSigmoid())
    assert outcome.ops == ["HardSigmoid"]
    assert len(outcome.applied) == 1


def test_the_clip_of_old_operator_sets(applying):
    text = """<ir_version: 8, opset_import: ["" : 10]>
    g (float[3] x) => (float[3] y) <float half = {0.5}>
    { a = Add(x, half) y = Clip<min = 0.0, max = 1.0>(a) }"""
    assert applying(text, FuseHardSigmoid()).ops == ["HardSigmoid"]


def test_the_height_goes_into_a_scalar_further_on(applying):
    body = "{ a = Add(x, three) b = Clip(a, zero, six) c = Exp(x) d = Mul(b, c) y = Div(d, two) }"
    outcome = applying(_text(body), FuseHardSigmoid())
    assert outcome.ops == ["Exp", "HardSigmoid", "Mul", "Div"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ a = Add(x, three) y = Clip(a, minus, six) }", "clips from -1 to 6, not from 0 to h"),
        ("{ a = Add(x, three) y = Clip(a, zero, six) }", "its height 6 meets no scalar behind"),
        (
            "{ a = Add(x, three) b = Clip(a, zero, six) y = Div(six, b) }",
            "its height 6 meets no scalar behind",
        ),
        (
            "{ a = Add(x, three) b = Clip(a, zero, six) c = Div(x, b) y = Div(c, six) }",
            "its height 6 meets no scalar behind",
        ),
    ],
)
def test_near_misses(applying, body, reason):
    outcome = applying(_text(body), FuseHardSigmoid())
    assert outcome.refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "{ y = Clip(x, zero, six) }",
        "{ a = Add(x, half) y = Relu(a) }",
        "{ a = Add(x, half) y = Clip(a, zero) }",
        "{ a = Add(x, half) y = Clip(a, , six) }",
        "{ a = Mul(x, half) y = Clip(a, zero, six) }",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body), FuseHardSigmoid())
    assert not outcome.applied
    assert not outcome.refused


def test_a_line_read_elsewhere_would_be_computed_all_the_same(applying):
    text = _text("{ a = Add(x, half) b = Clip(a, zero, one1) y = Mul(a, b) }")
    assert not applying(text, FuseHardSigmoid()).applied


def test_other_types_are_refused(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (double[3] x) => (double[3] y) <double half = {0.5}, double zero = {0}, double one = {1}>
    { a = Add(x, half) y = Clip(a, zero, one) }"""
    assert applying(text, FuseHardSigmoid()).refused == ["the input is float64, not float32"]


def test_outputs_of_the_model_within_the_pattern_stay(applying):
    text = _text("{ a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six) }")
    for inner in ("a", "b"):
        kept = text.replace("(float[2,4,3,3] y)", f"(float[2,4,3,3] y, float[2,4,3,3] {inner})")
        outcome = applying(kept, FuseHardSigmoid())
        assert "HardSigmoid" not in outcome.ops
