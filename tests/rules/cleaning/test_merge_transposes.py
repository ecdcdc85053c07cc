"""Two Transposes are one or none; those that move no data are Reshapes."""

from __future__ import annotations

from itertools import permutations

import pytest

from onnxq.rules.cleaning.merge_transposes import MergeTransposes
from onnxq.rules.cleaning.reshape_transposes import ReshapeTransposes


def _text(body: str, shape: str = "2,3,N", outputs: str = "float y", opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g (float[{shape}] x) => ({outputs}) {{ {body} n = Neg(t)
      y = ReduceSum <keepdims = 0> (n) }}"""


@pytest.mark.parametrize("second", list(permutations(range(3))))
def test_every_pair(second, applying):
    body = f"a = Transpose <perm = [1, 2, 0]> (x) t = Transpose <perm = {list(second)}> (a)"
    outcome = applying(_text(body, outputs="float y"), MergeTransposes())
    assert outcome.ops.count("Transpose") == (0 if second == (2, 0, 1) else 1)


def test_orders_by_default(applying):
    outcome = applying(_text("a = Transpose(x) t = Transpose(a)"), MergeTransposes())
    assert outcome.ops == ["Neg", "ReduceSum"]
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[A,B] x, int64[K] s) => (float[C,D] y) {
        r = Reshape(x, s) a = Transpose(r) y = Transpose <perm = [1, 0]> (a) }"""
    outcome = applying(text, MergeTransposes(), runs=False)
    assert outcome.refused == ["the number of axes of 'r' is not known"]


def test_an_output_that_would_be_an_input(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[2,N] x) => (float[2,N] y) { a = Transpose(x) y = Transpose(a) }"""
    outcome = applying(text, MergeTransposes())
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]


def test_who_else_reads_what_is_between(applying):
    outputs = "float y, float[3,A,2] a"
    body = "a = Transpose <perm = [1, 2, 0]> (x) t = Transpose <perm = [1, 2, 0]> (a)"
    outcome = applying(_text(body, outputs=outputs), MergeTransposes())
    assert outcome.refused == ["'a' is also read elsewhere"]
    read = f"{body} u = Neg(a)"
    outcome = applying(_text(read, outputs="float y, float[3,A,2] u"), MergeTransposes())
    assert outcome.refused == ["'a' is also read elsewhere"]
    body = "a = Transpose <perm = [1, 2, 0]> (x) t = Transpose <perm = [2, 0, 1]> (a)"
    outcome = applying(_text(body, outputs=outputs), MergeTransposes())
    assert outcome.ops == ["Transpose", "Neg", "ReduceSum"]
    assert outcome.applied == ["cancelled against Transpose_0"]


@pytest.mark.parametrize(
    ("shape", "order", "moved"),
    [
        ("N,1,4", [1, 0, 2], False),
        ("2,1,4", [1, 0, 2], False),
        ("2,1,1", [2, 0, 1], False),
        ("N,1,M", [0, 2, 1], False),
        ("1,N,M", [1, 0, 2], False),
        ("2,3,1", [1, 0, 2], True),
        ("N,M,4", [0, 2, 1], True),
    ],
)
def test_those_that_move_no_data(shape, order, moved, applying):
    outcome = applying(_text(f"t = Transpose <perm = {order}> (x)", shape), ReshapeTransposes())
    assert outcome.ops[0] == ("Transpose" if moved else "Reshape")


def test_two_free_axes_that_move_have_no_constant_target(applying):
    text = _text("t = Transpose <perm = [1, 2, 0]> (x)", "1,N,M")
    outcome = applying(text, ReshapeTransposes())
    assert outcome.ops[0] == "Transpose"
    reason = "dimensions 0, 1 of its result are free, and only one can be -1"
    assert outcome.refused == [reason]


def test_what_moves_data_is_no_near_miss(applying):
    text = _text("t = Transpose <perm = [0, 2, 1]> (x)", "N,M,4")
    assert not applying(text, ReshapeTransposes()).report.events


def test_a_matrix_of_one_row(applying):
    text = _text("t = Transpose(x)", "1,N")
    assert applying(text, ReshapeTransposes()).ops[0] == "Reshape"
