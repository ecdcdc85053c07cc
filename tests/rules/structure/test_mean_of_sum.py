"""Sums divided by the number of their terms."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.mean_of_sum import FuseMeanOfSum


def _text(body: str, *, opset: int = 13, shape: str = "batch,4,5", result: str = "batch,4") -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{result}] y)
    <int64[1] last = {{-1}}, int64[2] two = {{1, 2}}, float five = {{5.0}}, float fifth = {{0.2}},
     float[1,1,1,1] wide = {{0.2}},
     float twentieth = {{0.05}}, float four = {{4.0}}> {{ {body} }}"""


@pytest.mark.parametrize(
    "text",
    [
        _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(s, five)"),
        _text("s = ReduceSum<keepdims = 0>(x, last) y = Mul(fifth, s)"),
        _text("s = ReduceSum(x, two) y = Mul(s, twentieth)", result="batch,1,1"),
        _text("s = ReduceSum<axes = [2], keepdims = 0>(x) y = Div(s, five)", opset=11),
        _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(s, five)", opset=18),
    ],
)
def test_means(applying, text):
    outcome = applying(text, FuseMeanOfSum())
    assert outcome.ops == ["ReduceMean"]
    assert outcome.applied[0].startswith("joined ReduceSum_0 as a mean of ")


@pytest.mark.parametrize(
    "text",
    [
        _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(five, s)"),
        _text("s = ReduceSum<keepdims = 0>(x, last) y = Add(s, fifth)"),
        _text("s = ReduceSum(x, last) y = Mul(s, wide)", result="a,batch,4,1"),
        _text("s = ReduceMax<axes = [2], keepdims = 0>(x) y = Div(s, five)"),
    ],
)
def test_other_things(applying, text):
    outcome = applying(text, FuseMeanOfSum())
    assert not outcome.report.events


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(s, four)"),
            "the sum of 5 elements is multiplied by 0.25",
        ),
        (
            _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(s, five)", shape="batch,4,width"),
            "the number of elements along axes [2] is not known",
        ),
        (
            _text("s = ReduceSum<keepdims = 0>(x, last) z = Abs(s) w = Div(s, five) y = Add(z, w)"),
            "'s' is also read elsewhere",
        ),
        (
            _text("s = ReduceSum<keepdims = 0>(x, given) y = Div(s, five)").replace(
                "5] x)", "5] x, int64[1] given)"
            ),
            "the axes of 'ReduceSum_0' are computed or may be overridden at run time",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    assert applying(text, FuseMeanOfSum()).refused == [reason]


def test_unknown_ranks(applying):
    body = "r = Reshape(x, s) t = ReduceSum<keepdims = 0>(r, last) y = Div(t, five)"
    text = _text(body).replace("5] x)", "5] x, int64[K] s)")
    outcome = applying(text, FuseMeanOfSum(), runs=False)
    assert outcome.refused == ["the number of axes of 'r' is not known"]


def test_integers_round(applying):
    text = _text("s = ReduceSum<keepdims = 0>(x, last) y = Div(s, five)").replace("float", "int32")
    text = text.replace("0.2", "2").replace("0.05", "5").replace("5.0", "5").replace("4.0", "4")
    assert applying(text, FuseMeanOfSum()).refused == ["the sum is int32"]
