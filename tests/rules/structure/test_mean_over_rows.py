"""Means and sums over rows."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.mean_over_rows import ExpandMeanOverRows


def _text(body: str, shape: str, result: str, opset: int = 17) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{result}] y) <int64[1] one = {{1}}> {{ y = {body} }}"""


@pytest.mark.parametrize(
    ("body", "shape", "result", "ops"),
    [
        ("ReduceMean<axes = [1]>(x)", "batch,64,64", "batch,1,64", ["MatMul"]),
        (
            "ReduceMean<axes = [1], keepdims = 0>(x)",
            "1,100,50",
            "1,50",
            ["MatMul", "Reshape"],
        ),
        ("ReduceSum(x, one)", "batch,64,64", "batch,1,64", ["MatMul"]),
        (
            "ReduceMean<axes = [1]>(x)",
            "batch,16,16,17",
            "batch,1,16,17",
            ["Reshape", "MatMul", "Reshape"],
        ),
        (
            "ReduceMean<axes = [-3, -2], keepdims = 0>(x)",
            "batch,8,8,64",
            "batch,64",
            ["Reshape", "MatMul", "Reshape"],
        ),
        ("ReduceMean<axes = [0]>(x)", "64,64", "1,64", ["MatMul"]),
        ("ReduceMean<axes = [0], keepdims = 0>(x)", "64,64", "64", ["MatMul", "Reshape"]),
    ],
)
def test_products(applying, body, shape, result, ops):
    outcome = applying(_text(body, shape, result), ExpandMeanOverRows(), atol=2e-5)
    assert outcome.ops == ops
    assert outcome.applied[0].startswith("became a product with a row of ")


@pytest.mark.parametrize(
    ("body", "shape", "result"),
    [
        ("ReduceMean<axes = [1]>(x)", "2,64,64", "2,1,64"),
        ("ReduceMean<axes = [1]>(x)", "batch,63,64", "batch,1,64"),
        ("ReduceMean<axes = [1]>(x)", "batch,rows,64", "batch,1,64"),
        ("ReduceMean<axes = [1]>(x)", "batch,64,width", "batch,1,width"),
        ("ReduceMean<axes = [2]>(x)", "batch,64,64", "batch,64,1"),
        ("ReduceMean<axes = [2]>(x)", "1,1,64,64", "1,1,1,64"),
        ("ReduceMean<axes = [0, 2]>(x)", "8,8,8,8", "1,8,1,8"),
    ],
)
def test_other_reductions(applying, body, shape, result):
    outcome = applying(_text(body, shape, result), ExpandMeanOverRows())
    assert not outcome.applied
    assert not outcome.refused


def test_other_types(applying):
    text = _text("ReduceMean<axes = [1]>(x)", "1,64,64", "1,1,64").replace("float", "double")
    assert not applying(text, ExpandMeanOverRows(), runs=False).applied


def test_variances_whose_digits_cancel(applying):
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,64,64] x) => (float[1,1,64] y)
    { m = ReduceMean<axes = [1]>(x) p = Mul(x, x) q = ReduceMean<axes = [1]>(p)
      s = Mul(m, m) y = Sub(q, s) }"""
    outcome = applying(text, ExpandMeanOverRows())
    reason = "digits cancel in mean(x²) - mean(x)²: the order of sums stays"
    assert outcome.refused == [reason, reason]
