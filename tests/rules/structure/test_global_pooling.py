"""Reductions over all of an image."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.global_pooling import FuseGlobalPooling

_WEIGHTS = ", ".join(["0.5"] * 32)


def _text(body: str, *, result: str = "batch,16,1,1", opset: int = 17, channels: int = 16) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[batch,2,4,5] x, float[batch,16,4,5] z) => (float[{result}] y)
    <float[{channels},2,1,1] w = {{{_WEIGHTS[: 5 * 2 * channels - 2]}}}, int64[2] axes = {{-1, -2}},
     float zero = {{0.0}}, float six = {{6.0}}> {{ {body} }}"""


@pytest.mark.parametrize(
    "body",
    [
        "c = Conv(x, w) y = R<axes = [2, 3]>(c)",
        "c = Conv(x, w) a = Clip(c, zero, six) y = R<axes = [-1, 2]>(a)",
        "c = Conv(x, w) s = Sigmoid(c) a = Mul(c, s) y = R<axes = [2, 3]>(a)",
        "c = Conv(x, w) h = HardSwish(c) a = Add(c, h) y = R<axes = [2, 3]>(a)",
        "c = MaxPool<kernel_shape = [2, 2]>(z) y = R<axes = [2, 3]>(c)",
    ],
)
@pytest.mark.parametrize(
    ("op", "pooling"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")]
)
def test_behind_convolutions(applying, body, op, pooling):
    outcome = applying(_text(body.replace("R<", f"{op}<")), FuseGlobalPooling())
    assert outcome.ops[-1] == pooling
    assert outcome.applied == [f"became {pooling}"]


def test_axes_dropped(applying):
    body = "c = Conv(x, w) y = ReduceMean<axes = [2, 3], keepdims = 0>(c)"
    outcome = applying(_text(body, result="batch,16"), FuseGlobalPooling())
    assert outcome.ops == ["Conv", "GlobalAveragePool", "Flatten"]


def test_axes_as_input(applying):
    outcome = applying(
        _text("c = Conv(x, w) y = ReduceMean(c, axes)", opset=18), FuseGlobalPooling()
    )
    assert outcome.ops == ["Conv", "GlobalAveragePool"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _text("a = Relu(z) y = ReduceMean<axes = [2, 3]>(a)"),
            "no convolution before it: the reduction is faster",
        ),
        (
            _text("c = Conv(x, w) a = Add(c, z) y = ReduceMean<axes = [2, 3]>(a)"),
            "no convolution before it: the reduction is faster",
        ),
        (
            _text(
                "c = Conv(x, w) y = ReduceMean<axes = [2, 3]>(c)", result="batch,8,1,1", channels=8
            ),
            "8 channels: not a multiple of 16",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    assert applying(text, FuseGlobalPooling()).refused == [reason]


@pytest.mark.parametrize("axes", ["[1]", "[3]", "[1, 2, 3]"])
def test_other_axes(applying, axes):
    text = _text(f"c = Conv(x, w) y = ReduceMean<axes = {axes}>(c)", result="a,b,c,d")
    outcome = applying(text, FuseGlobalPooling())
    assert not outcome.applied
    assert not outcome.refused


def test_deep_chains_of_residuals(applying):
    body = "c0 = Conv(x, w) "
    body += " ".join(f"r{i} = Relu(c{i}) c{i + 1} = Add(r{i}, c{i})" for i in range(12))
    outcome = applying(_text(body + " y = ReduceMean<axes = [2, 3]>(c12)"), FuseGlobalPooling())
    assert outcome.ops[-1] == "GlobalAveragePool"
