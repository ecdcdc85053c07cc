"""GroupNormalization without the operator."""

from __future__ import annotations

import pytest

from onnxq.rules.normalisation.group_normalization import LowerGroupNormalization


def _text(opset: int, shape: str = "batch,6,4,5", parameters: str = "6", groups: int = 2) -> str:
    size = int(parameters)
    values = ", ".join(str(0.5 * i - 1) for i in range(size))
    return f"""<ir_version: 10, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{shape}] y)
    <float[{size}] g = {{{values}}}, float[{size}] b = {{{values}}}>
    {{ y = GroupNormalization<num_groups = {groups}, epsilon = 0.01>(x, g, b) }}"""


@pytest.mark.parametrize("shape", ["batch,6,4,5", "2,6,7", "2,6,2,3,4", "batch,6,4,width"])
def test_per_channel(applying, shape):
    outcome = applying(_text(21, shape), LowerGroupNormalization())
    assert outcome.ops == ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]
    assert outcome.applied == ["became InstanceNormalization of 2 groups"]


def test_two_free_sizes_are_read_at_run_time(applying):
    outcome = applying(_text(21, "batch,6,height,width"), LowerGroupNormalization())
    assert sorted(outcome.ops) == [
        *("Add", "InstanceNormalization", "Mul", "Reshape", "Reshape", "Shape")
    ]


@pytest.mark.parametrize("opset", [18, 20])
def test_per_group(applying, opset):
    outcome = applying(_text(opset, parameters="2"), LowerGroupNormalization())
    assert outcome.ops == ["Reshape", "InstanceNormalization", "Reshape"]


def test_one_group(applying):
    outcome = applying(_text(21, groups=1), LowerGroupNormalization())
    assert outcome.ops == ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]


def test_a_group_for_each_channel(applying):
    outcome = applying(_text(21, groups=6), LowerGroupNormalization())
    assert outcome.ops == ["InstanceNormalization"]


def test_parameters_computed_per_group(applying):
    text = _text(18, parameters="2").replace(
        "y = GroupNormalization", "c = Abs(g) y = GroupNormalization"
    )
    outcome = applying(text.replace("(x, g, b)", "(x, c, b)"), LowerGroupNormalization())
    assert "InstanceNormalization" in outcome.ops


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _text(21).replace("{ y", "{ c = Abs(g) y").replace("(x, g", "(x, c"),
            "scale or bias is not a constant",
        ),
        (_text(21).replace("float[", "double["), "the input is float64, not float32"),
    ],
)
def test_near_misses(applying, text, reason):
    outcome = applying(text, LowerGroupNormalization(), runs="double" not in text)
    assert outcome.refused == [reason]
    assert not outcome.applied


def test_unknown_rank(applying):
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[2,6,4] x, int64[n] s) => (float[a,b,c] y)
    <float[6] g = {1, 2, 3, 4, 5, 6}>
    { r = Reshape(x, s) y = GroupNormalization<num_groups = 2>(r, g, g) }"""
    outcome = applying(text, LowerGroupNormalization(), runs=False)
    assert outcome.refused == ["the input is not known to have three axes or more"]
