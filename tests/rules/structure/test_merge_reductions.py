"""Reductions that follow each other, and views that keep or drop their axes."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.merge_reductions import MergeReductions, MergeReductionWithView


def _text(body: str, result: str, *, opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[batch,3,4,5] x) => (float[{result}] y)
    <int64[1] one = {{1}}, int64[2] two = {{2, 3}}, int64[2] flat = {{-1, 3}},
     int64[1] last = {{-1}},
     int64[4] kept = {{-1, 3, 1, 1}}> {{ {body} }}"""


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (op, _text(body.replace("R<", f"{op}<"), result))
        for op in ("ReduceMean", "ReduceMax", "ReduceMin")
        for body, result in [
            ("a = R<axes = [3], keepdims = 0>(x) y = R<axes = [2], keepdims = 0>(a)", "batch,3"),
            ("a = R<axes = [1], keepdims = 0>(x) y = R<axes = [-1], keepdims = 0>(a)", "batch,4"),
            ("a = R<axes = [3]>(x) y = R<axes = [2, 3]>(a)", "batch,3,1,1"),
        ]
    ],
)
def test_equal_reductions(applying, op, text):
    outcome = applying(text, MergeReductions())
    assert outcome.ops == [op]
    assert outcome.applied == [f"took in {op}_0"]


def test_sums_with_axes_as_inputs(applying):
    text = _text("a = ReduceSum(x, one) y = ReduceSum(a, last)", "batch,1,4,1")
    assert applying(text, MergeReductions()).ops == ["ReduceSum"]


@pytest.mark.parametrize(
    "body",
    [
        "a = ReduceMean<axes = [3]>(x) y = ReduceMax<axes = [2]>(a)",
        "a = ReduceL2<axes = [3]>(x) y = ReduceL2<axes = [2]>(a)",
    ],
)
def test_different_reductions(applying, body):
    assert not applying(_text(body, "a,b,c,d"), MergeReductions()).report.events


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "a = ReduceMean<axes = [3]>(x) y = ReduceMean<axes = [2], keepdims = 0>(a)",
            "only one of it and 'ReduceMean_0' keeps its axes",
        ),
        (
            "a = ReduceMean<axes = [3]>(x) b = ReduceMean<axes = [2]>(a) y = Add(a, b)",
            "'a' is also read elsewhere",
        ),
        (
            "a = ReduceSum(x, given) y = ReduceSum(a, last)",
            "the axes of 'ReduceSum_0' are computed or may be overridden at run time",
        ),
        (
            "a = ReduceSum(x, last) y = ReduceSum(a, given)",
            "the axes of 'ReduceSum_1' are computed or may be overridden at run time",
        ),
    ],
)
def test_near_misses(applying, body, reason):
    text = _text(body, "batch,3,1" if "keepdims" in body else "a,b,c,d")
    text = text.replace("5] x)", "5] x, int64[1] given)")
    assert applying(text, MergeReductions()).refused == [reason]


@pytest.mark.parametrize(
    ("body", "result", "ops"),
    [
        ("a = ReduceMean<axes = [2, 3]>(x) y = Squeeze(a, two)", "batch,3", ["ReduceMean"]),
        ("a = ReduceMax<axes = [2, 3]>(x) y = Flatten(a)", "batch,3", ["ReduceMax"]),
        ("a = ReduceL2<axes = [2, 3]>(x) y = Reshape(a, flat)", "batch,3", ["ReduceL2"]),
        (
            "a = ReduceMean<axes = [2, 3], keepdims = 0>(x) y = Unsqueeze(a, two)",
            "batch,3,1,1",
            ["ReduceMean"],
        ),
        (
            "a = ReduceMean<axes = [2, 3], keepdims = 0>(x) y = Reshape(a, kept)",
            "batch,3,1,1",
            ["ReduceMean"],
        ),
    ],
)
def test_views(applying, body, result, ops):
    assert applying(_text(body, result), MergeReductionWithView()).ops == ops


def test_views_of_old_operator_sets(applying):
    text = _text("a = ReduceSum<axes = [1]>(x) y = Squeeze<axes = [1]>(a)", "batch,4,5", opset=11)
    assert applying(text, MergeReductionWithView()).ops == ["ReduceSum"]


@pytest.mark.parametrize(
    ("body", "result", "reason"),
    [
        (
            "a = ReduceMean<axes = [2, 3]>(x) y = Squeeze(a, last)",
            "batch,3,1",
            "reduces axes [2, 3], but 'Squeeze_0' names axes [-1]",
        ),
        (
            "a = ReduceMean<axes = [2, 3], keepdims = 0>(x) y = Unsqueeze(a, one)",
            "batch,1,3",
            "reduces axes [2, 3], but 'Unsqueeze_0' names axes [1]",
        ),
        (
            "a = ReduceMean<axes = [2, 3]>(x) y = Squeeze(a)",
            "r,s",
            "reduces axes [2, 3], but 'Squeeze_0' names axes []",
        ),
        (
            "a = ReduceMean<axes = [2, 3]>(x) b = Squeeze(a, two) c = Squeeze(a, two) "
            "y = Add(b, c)",
            "batch,3",
            "'a' is also read elsewhere",
        ),
        (
            "a = ReduceMean<axes = [2, 3]>(x) b = Flatten(a) c = Neg(a) y = Squeeze(c, two)",
            "batch,3",
            "'a' is also read elsewhere",
        ),
        (
            "a = ReduceMean<axes = [2]>(x) y = Squeeze(a, given)",
            "r,s,t",
            "the axes of 'Squeeze_0' are computed or may be overridden at run time",
        ),
        (
            "a = ReduceSum(x, given) y = Squeeze(a, given)",
            "r,s,t",
            "the axes of 'ReduceSum_0' are computed or may be overridden at run time",
        ),
        (
            "a = ReduceMean<axes = [2, 3]>(x) y = Reshape(a, target)",
            "r,s",
            "the shape of 'y' is not known",
        ),
    ],
)
def test_views_that_are_nearly_taken_in(applying, body, result, reason):
    text = _text(body, result).replace("5] x)", "5] x, int64[1] given, int64[2] target)")
    runs = "given" not in body and "target" not in body
    assert applying(text, MergeReductionWithView(), runs=runs).refused == [reason]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("a = ReduceMean<axes = [2, 3]>(x) y = Unsqueeze(a, two)", "a,b,c,d,e,f"),
        ("a = ReduceMean<axes = [2, 3]>(x) y = Flatten<axis = 2>(a)", "a,b"),
        ("a = ReduceMean<axes = [2]>(x) y = Reshape(a, flat)", "a,b"),
        ("a = ReduceMean<axes = [2, 3]>(x) y = Neg(a)", "a,b,c,d"),
    ],
)
def test_other_views(applying, body, result):
    assert not applying(_text(body, result), MergeReductionWithView()).report.events
