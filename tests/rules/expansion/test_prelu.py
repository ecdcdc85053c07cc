"""PRelu by Relu or Max."""

from __future__ import annotations

import pytest

from onnxq.rules import ExpandPRelu


def _text(body: str, slopes: str = "0.1, 0.2, 0.3, 1", side: int = 40) -> str:
    weights = ", ".join(str((i * 7 % 5 - 2) / 4) for i in range(16))
    return f"""<ir_version: 8, opset_import: ["" : 16]>
    g (float[1,4,{side},{side}] x, float[4,1,1] given) => (float[1,4,{side},{side}] y)
    <float[4,1,1] s = {{{slopes}}}, float[1,4,1,1] r = {{{slopes}}}, float[1] one = {{0.1}},
     float[4,4,1,1] w = {{{weights}}}> {{ {body} }}"""


def test_slopes_within_one(applying):
    assert applying(_text("y = PRelu(x, s)"), ExpandPRelu()).ops == ["Mul", "Max"]
    assert applying(_text("y = PRelu(x, r)"), ExpandPRelu()).ops == ["Mul", "Max"]


@pytest.mark.parametrize("slopes", ["0.1, 0.2, 0.3, 1.5", "-0.1, 0.2, 0.3, 0.4"])
def test_other_slopes(applying, slopes):
    ops = applying(_text("y = PRelu(x, s)", slopes), ExpandPRelu()).ops
    assert sorted(ops) == ["Add", "Mul", "Mul", "Relu"]


def test_behind_a_convolution(applying):
    ops = applying(_text("c = Conv(x, w) y = PRelu(c, s)"), ExpandPRelu()).ops
    assert sorted(ops) == ["Add", "Conv", "Mul", "Mul", "Relu"]


def test_what_stays(applying):
    assert not applying(_text("y = PRelu(x, s)", side=4), ExpandPRelu()).applied
    assert not applying(_text("y = PRelu(x, one)"), ExpandPRelu()).applied
    outcome = applying(_text("y = PRelu(x, given)"), ExpandPRelu())
    assert outcome.refused == ["its slopes are no constants"]
