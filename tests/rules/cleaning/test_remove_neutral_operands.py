"""x + 0, x · 1 and their like, where the constant does not broadcast x."""

from __future__ import annotations

import pytest
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.passes import FoldConstants, LowerConstants, apply_passes
from onnxq.rules.cleaning.remove_neutral_operands import RemoveNeutralOperands

_CONSTANTS = """float zero = {0}, float one = {1}, float[1,3] zeros = {0, 0, 0},
    float[3] ones = {1, 1, 1},
  float[3] most = {1, 1, 2}, float[1,1,1] deep = {1}, float[4,1] tall = {0, 0, 0, 0}"""


def _text(body: str, signature: str = "(float[N,3] x) => (float[A,B] y)") -> str:
    return f"""<ir_version: 9, opset_import: ["": 18]>
      g {signature} <{_CONSTANTS}> {{ {body} }}"""


@pytest.mark.parametrize(
    "operation",
    [
        "Add(x, zero)", "Add(zero, x)", "Add(x, zeros)", "Sub(x, zero)", "Mul(x, one)",
        "Mul(ones, x)", "Div(x, ones)", "Pow(x, one)",
    ],
)  # fmt: skip
def test_removed(operation, applying):
    outcome = applying(_text(f"t = {operation} y = Neg(t)"), RemoveNeutralOperands())
    assert outcome.ops == ["Neg"]
    assert outcome.applied == [f"{operation[:3]} that changes nothing was removed"]


@pytest.mark.parametrize(
    "operation",
    ["Sub(zero, x)", "Div(one, x)", "Pow(one, x)", "Mul(x, most)", "Add(x, one)", "Mul(x, zero)"],
)
def test_stays(operation, applying):
    outcome = applying(_text(f"t = {operation} y = Neg(t)"), RemoveNeutralOperands())
    assert not outcome.report.events


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("Mul(x, deep)", "its constant [1, 1, 1] may broadcast 'x'"),
        ("Add(x, tall)", "its constant [4, 1] may broadcast 'x'"),
    ],
)
def test_constants_that_broadcast(operation, reason, applying):
    text = _text(f"t = {operation} y = Neg(t)", "(float[1,3] x) => (float y)")
    outcome = applying(text, RemoveNeutralOperands(), runs=False)
    assert outcome.refused == [reason]


def test_a_free_dimension_may_be_one(applying):
    outcome = applying(_text("t = Add(x, tall) y = Neg(t)"), RemoveNeutralOperands(), runs=False)
    assert outcome.refused == ["its constant [4, 1] may broadcast 'x'"]


@pytest.mark.parametrize(
    ("kind", "operation", "constant"),
    [
        ("int64", "Max", "-9223372036854775808"),
        ("int64", "Min", "9223372036854775807"),
        ("int64", "Div", "1"),
        ("bool", "And", "1"),
        ("bool", "Or", "0"),
        ("bool", "Xor", "0"),
    ],
)
def test_other_types(kind, operation, constant, applying):
    text = f"""<ir_version: 9, opset_import: ["": 18]>
      g ({kind}[3] x) => ({kind}[3] y) <{kind} c = {{{constant}}}> {{
        t = {operation}(x, c) y = Identity(t) }}"""
    assert applying(text, RemoveNeutralOperands()).ops == ["Identity"]


def test_infinite_bounds(applying):
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[3] x) => (float[3] y) {
        i = Constant <value_float = inf> () m = Neg(i) t = Max(m, x) u = Min(t, i) y = Neg(u) }"""
    model = load(parse_model(text))
    apply_passes(model, [LowerConstants(), FoldConstants()])
    assert applying(model.to_proto(), RemoveNeutralOperands()).ops == ["Neg"]
