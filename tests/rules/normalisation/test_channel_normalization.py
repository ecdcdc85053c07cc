"""Layer normalisation over the channels of channels-first tensors."""

from __future__ import annotations

import pytest

from onnxq.rules.normalisation.channel_normalization import FuseChannelNormalization

_VALUES = ", ".join(str(0.1 * i) for i in range(16))
_HEAD = """<ir_version: 8, opset_import: ["" : OPSET]>
g (float[BATCH,16,4,W] x) => (float[BATCH,16,4,W] y)
<float two = {2.0}, float eps = {0.001}, float[16,1,1] g = {VALUES}, float[16,1,1] b = {VALUES},
 float[4] columns = {1.0, 2.0, 3.0, 4.0}> """.replace("VALUES", _VALUES)
_STATISTICS = (
    "m = ReduceMean<axes = [1]>(x) d = Sub(x, m) p = Pow(d, two) "
    "v = ReduceMean<axes = [-3]>(p) e = Add(v, eps) s = Sqrt(e) "
)
_TAIL = "n = Div(d, s) w = Mul(n, g) y = Add(w, b)"


def _text(body: str, *, batch: str = "1", opset: int = 17, width: str = "W") -> str:
    head = _HEAD.replace("BATCH", batch).replace("OPSET", str(opset)).replace("W]", f"{width}]")
    return head + "{" + body + "}"


@pytest.mark.parametrize(
    "body",
    [
        _STATISTICS + _TAIL,
        _STATISTICS + "y = Div(d, s)",
        _STATISTICS + "r = Reciprocal(s) f = Mul(r, g) w = Mul(d, f) y = Add(w, b)",
    ],
)
def test_between_transposes(applying, body):
    outcome = applying(_text(body), FuseChannelNormalization())
    assert outcome.ops == ["Transpose", "LayerNormalization", "Transpose"]
    assert outcome.applied == ["became LayerNormalization over the channels, between Transposes"]


def test_three_axes(applying):
    text = _text(_STATISTICS + _TAIL).replace("16,4,W]", "16,W]").replace("[16,1,1]", "[16,1]")
    outcome = applying(text.replace("[-3]", "[-2]"), FuseChannelNormalization())
    assert outcome.ops == ["Transpose", "LayerNormalization", "Transpose"]


_CONVOLUTIONS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch,2,4,4] image) => (float[batch,3,4,4] y)
<float eps = {0.001}, float[4,2,1,1] first = {1, 2, 3, 4, 5, 6, 7, 8},
 float[3,4,1,1] second = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2}>
{ x = Conv(image, first) m = ReduceMean<axes = [1]>(x) d = Sub(x, m) p = Mul(d, d)
  v = ReduceMean<axes = [1]>(p) e = Add(v, eps) s = Sqrt(e) n = Div(d, s) y = Conv(n, second) }"""


def test_between_convolutions_any_batch_and_few_channels(applying):
    outcome = applying(_CONVOLUTIONS, FuseChannelNormalization())
    assert outcome.ops == ["Conv", "Transpose", "LayerNormalization", "Transpose", "Conv"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _text(_STATISTICS + _TAIL, batch="8"),
            "transposing pays for a batch of 1 or between convolutions; the batch is 8",
        ),
        (
            _text(_STATISTICS + _TAIL, batch="batch"),
            "transposing pays for a batch of 1 or between convolutions; the batch is not known",
        ),
        (
            _text(_STATISTICS + _TAIL, opset=13),
            "LayerNormalization needs operator set 17, here 13",
        ),
        (
            _text(_STATISTICS + "y = Div(d, s)").replace("1,16,4", "1,15,4"),
            "15 channels are too few for transposing to pay",
        ),
        (
            _text(_STATISTICS + "y = Div(d, s)").replace("1,16,4", "1,channels,4"),
            "the number of channels is not known",
        ),
        (
            _text(_STATISTICS + "r = Reciprocal(s) f = Mul(r, columns) y = Mul(d, f)", width="4"),
            "the scale within varies along other axes than the statistics",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    outcome = applying(text, FuseChannelNormalization())
    assert outcome.refused == [reason]


def test_last_axis_is_not_ours(applying):
    text = _text(_STATISTICS + "y = Div(d, s)").replace("[1]", "[3]").replace("[-3]", "[3]")
    outcome = applying(text, FuseChannelNormalization())
    assert not outcome.applied
    assert not outcome.refused
