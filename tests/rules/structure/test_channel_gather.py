"""Reordered channels before a convolution."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.channel_gather import FoldChannelGather


def _text(index: str, *, axis: int = 1, inputs: int = 3, group: int = 1, more: str = "") -> str:
    weight = ", ".join(str(float(i)) for i in range(2 * inputs // group))
    size = index.count(",") + 1
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[batch,3,4,4] x) => (float[a,b,c,d] y)
    <int64[{size}] index = {{{index}}}, float[2,{inputs // group},1,1] w = {{{weight}}}>
    {{ a = Gather<axis = {axis}>(x, index) y = Conv<group = {group}>(a, w) {more} }}"""


@pytest.mark.parametrize("index", ["2, 0, 1", "-1, 0, 1"])
@pytest.mark.parametrize("axis", [1, -3])
def test_permutations(applying, index, axis):
    outcome = applying(_text(index, axis=axis), FoldChannelGather())
    assert outcome.ops == ["Conv"]
    assert outcome.applied == ["folded its order of channels into Conv_0"]


def test_repeated_channels_are_summed(applying):
    outcome = applying(_text("2, 0, 1, 2, 2", inputs=5), FoldChannelGather())
    assert outcome.ops == ["Conv"]
    (conv,) = outcome.model.nodes
    assert conv.inputs[1].shape == (2, 3, 1, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_text("0, 1", inputs=2), "leaves channels out"),
        (
            _text("2, 0, 1, 0", inputs=4, group=2),
            "the weight of Conv_0 is not constant or in groups",
        ),
        (
            _text("2, 0, 1").replace("batch,3,4,4", "batch,channels,4,4"),
            "the number of channels is not known",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    assert applying(text, FoldChannelGather(), runs=False).refused == [reason]


@pytest.mark.parametrize(
    "text",
    [
        _text("2, 0, 1, 2", axis=2),
        _text("2, 0, 1", more="z = Abs(a)").replace("] y)", "] y, float[a,b,c,d] z)"),
    ],
)
def test_other_things(applying, text):
    assert not applying(text, FoldChannelGather(), runs=False).applied
