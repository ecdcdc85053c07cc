"""x + x·g becomes x·(g + 1) where g is smaller than x."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.factor_sum import FactorSum

_HEAD = """<ir_version: 8, opset_import: ["" : 13]>
g ({kind}[{x}] x, {kind}[{g}] g) => ({kind}[{y}] y) """

_ORDERS = [
    "{ p = Mul(x, g) y = Add(x, p) }",
    "{ p = Mul(g, x) y = Add(x, p) }",
    "{ p = Mul(x, g) y = Add(p, x) }",
    "{ p = Mul(g, x) y = Add(p, x) }",
]


def _model(body: str, x: str = "2,4,3,3", g: str = "2,4,1,1", kind: str = "float") -> str:
    return _HEAD.format(kind=kind, x=x, g=g, y=x) + body


@pytest.mark.parametrize("body", _ORDERS)
@pytest.mark.parametrize("g", ["2,4,1,1", "4,1,1", "1", "2,1,3,3", "1,1,1,1"])
def test_gates(applying, body, g):
    outcome = applying(_model(body, g=g), FactorSum())
    assert outcome.ops == ["Add", "Mul"]
    gate = outcome.model.nodes[0]
    assert any(t.name == "g" for t in gate.inputs)


def test_free_sizes(applying):
    outcome = applying(_model(_ORDERS[0], x="N,4,H,W", g="N,4,1,1"), FactorSum())
    assert len(outcome.applied) == 1


def test_double(applying):
    assert applying(_model(_ORDERS[0], kind="double"), FactorSum()).applied


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_model(_ORDERS[0], g="2,4,3,3"), "the gate 'g' is as large as 'x'"),
        (_model(_ORDERS[0], x="2,4,H,W", g="2,4,h,w"), "the gate 'g' is not broadcast to 'x'"),
        (_model(_ORDERS[0], kind="float16"), "the input is float16, not float32"),
        (
            _HEAD.format(kind="float", x="4,1", g="2,4,3", y="2,4,3") + _ORDERS[0],
            "the gate 'g' has a higher rank than 'x'",
        ),
        (
            _model("{ p = Mul(x, g) r = Relu(p) s = Add(x, p) y = Mul(r, s) }"),
            "the product 'p' is also read elsewhere",
        ),
    ],
)
def test_near_misses(applying, model, reason):
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if "float16" in model else {}
    assert applying(model, FactorSum(), runs=",h,w" not in model, **tolerance).refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "{ p = Mul(x, g) y = Add(p, p) }",
        "{ p = Mul(x, x) y = Add(x, p) }",
        "{ p = Mul(x, g) a = Abs(x) y = Add(a, p) }",
    ],
)
def test_other_sums(applying, body):
    outcome = applying(_model(body), FactorSum())
    assert not outcome.applied
    assert not outcome.refused
