"""Operators that undo or repeat the one before them."""

from __future__ import annotations

import pytest

from onnxq.rules import CancelPairs


def _text(body: str, outputs: str = "float[2,3] z") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,3] x, float[3] w, bool[2,3] b) => ({outputs}) <float one = {{1}}>
    {{ {body} }}"""


_CASES = {
    "Neg": ("a = Neg(x) c = Neg(a) z = Exp(c)", ["Exp"]),
    "Reciprocal": ("a = Reciprocal(x) c = Reciprocal(a) z = Exp(c)", ["Exp"]),
    "Not": ("a = Not(b) c = Not(a) z = Where(c, x, w)", ["Where"]),
    "Abs of Neg": ("a = Neg(x) z = Abs(a)", ["Abs"]),
    "Abs": ("a = Abs(x) z = Abs(a)", ["Abs"]),
    "Floor": ("a = Floor(x) c = Floor(a) z = Exp(c)", ["Floor", "Exp"]),
    "Max of one tensor": ("a = Max(x, x) z = Exp(a)", ["Exp"]),
    "And of one tensor": ("a = And(b, b) z = Where(a, x, w)", ["Where"]),
    "a + -b": ("a = Neg(x) z = Add(w, a)", ["Sub"]),
    "-a + b": ("a = Neg(x) z = Add(a, w)", ["Sub"]),
    "a - -b": ("a = Neg(x) z = Sub(w, a)", ["Add"]),
    "-a - b": ("a = Neg(x) z = Sub(a, w)", ["Neg", "Sub"]),
    "Neg read twice": ("a = Neg(x) c = Add(w, a) z = Mul(a, c)", ["Neg", "Add", "Mul"]),
    "Sum": ("z = Sum(x, w)", ["Add"]),
    "Sum of three": ("z = Sum(x, w, one)", ["Sum"]),
    "Exp and Log": ("a = Exp(x) z = Log(a)", ["Exp", "Log"]),
    "Ceil of Floor": ("a = Floor(x) z = Ceil(a)", ["Floor", "Ceil"]),
}


@pytest.mark.parametrize("name", _CASES)
def test_cases(applying, name):
    body, ops = _CASES[name]
    outcome = applying(_text(body), CancelPairs())
    assert outcome.ops == ops


def test_an_input_keeps_its_name_and_so_does_an_output(applying):
    outcome = applying(_text("a = Neg(x) z = Neg(a)"), CancelPairs())
    assert outcome.ops == ["Neg", "Neg"]
    assert outcome.refused == ["joins the output 'z' to a tensor that keeps its own name"]


def test_outputs_within_stay(applying):
    outputs = "float[2,3] z, float[2,3] a"
    assert applying(_text("a = Neg(x) z = Add(w, a)", outputs), CancelPairs()).ops == ["Neg", "Add"]
    both = applying(_text("a = Neg(x) c = Neg(a) z = Exp(c)", outputs), CancelPairs())
    assert sorted(both.ops) == ["Exp", "Neg"]
