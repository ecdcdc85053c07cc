"""Powers with constant exponents."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxq.rules import CancelRoots, ExpandPowers

_EXPONENTS = {
    2.0: ["Mul"],
    3.0: ["Mul", "Mul"],
    4.0: ["Mul", "Mul"],
    5.0: ["Mul", "Mul", "Mul"],
    6.0: ["Mul", "Mul", "Mul"],
    8.0: ["Mul", "Mul", "Mul"],
    0.5: ["Sqrt"],
    0.25: ["Sqrt", "Sqrt"],
    0.75: ["Sqrt", "Sqrt", "Mul"],
    1.5: ["Sqrt", "Mul"],
    2.5: ["Sqrt", "Mul", "Mul"],
    -1.0: ["Reciprocal"],
    -0.5: ["Sqrt", "Reciprocal"],
    -2.0: ["Mul", "Reciprocal"],
    0.1: ["Pow"],
    9.0: ["Pow"],
    0.0: ["Pow"],
    1.0: ["Pow"],
    7.75: ["Pow"],
}


def _text(exponent: float, type_: str = "float", kind: str = "float") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g ({type_}[2,3] x) => ({type_}[2,3] y) <{type_} least = {{0.1}}, {kind}[1] e = {{{exponent}}}>
    {{ a = Abs(x) b = Add(a, least) y = Pow(b, e) }}"""


@pytest.mark.parametrize("exponent", _EXPONENTS)
def test_exponents(applying, exponent):
    outcome = applying(_text(exponent), ExpandPowers())
    assert sorted(outcome.ops[2:]) == sorted(_EXPONENTS[exponent])


@pytest.mark.parametrize(("type_", "kind"), [("double", "double"), ("float", "int64")])
def test_types(applying, type_, kind):
    assert applying(_text(2, type_, kind), ExpandPowers()).ops[2:] == ["Mul"]


def test_signs(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[20] x) => (float[20] y) <float e = {3}> { y = Pow(x, e) }"""
    assert applying(text, ExpandPowers()).ops == ["Mul", "Mul"]


def test_the_square_of_a_normalisation_stays(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,8] x) => (float[2,1] y) <float e = {2}>
    { a = Pow(x, e) y = ReduceMean<axes = [-1]>(a) }"""
    outcome = applying(text, ExpandPowers())
    assert outcome.ops == ["Pow", "ReduceMean"]
    assert outcome.refused == [
        "goes into ReduceMean alone: the engine knows that square by its Pow"
    ]


@pytest.mark.parametrize(
    ("exponent", "reason"),
    [
        (0.1, "the exponent 0.1 is no multiple of 1/4"),
        (9.0, "the exponent 9 is beyond 8"),
        (-1e20, "the exponent -1e+20 is beyond 8"),
        (7.75, "needs 8 nodes for the exponent 7.75"),
    ],
)
def test_exponents_that_stay(applying, exponent, reason):
    assert applying(_text(exponent), ExpandPowers()).refused == [reason]


@pytest.mark.parametrize("exponent", [np.inf, np.nan])
def test_exponents_that_are_no_numbers(applying, exponent):
    proto = onnx.parser.parse_model(_text(5.0))
    given = next(t for t in proto.graph.initializer if t.name == "e")
    given.CopyFrom(numpy_helper.from_array(np.array([exponent], np.float32), "e"))
    outcome = applying(proto, ExpandPowers())
    assert outcome.refused == [f"the exponent {exponent:g} is beyond 8"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "g (float[3] x, float e) => (float[3] y) <float e = {2}> { y = Pow(x, e) }",
            "'e' is computed or may be overridden at run time",
        ),
        (
            "g (float[3] x) => (float[1,3] y) <float[1,1] e = {2}> { y = Pow(x, e) }",
            "the exponent of shape [1, 1] may broadcast x",
        ),
        (
            "g (float[3] x) => (float[3] y) <float[3] e = {2, 2, 2}> { y = Pow(x, e) }",
            "the exponent has the shape [3]",
        ),
        (
            "g (int32[3] x) => (int32[3] y) <int32 e = {2}> { y = Pow(x, e) }",
            "the base is int32",
        ),
    ],
)
def test_near_misses(applying, text, reason):
    head = """<ir_version: 8, opset_import: ["" : 13]> """
    assert applying(head + text, ExpandPowers()).refused == [reason]


@pytest.mark.parametrize("body", ["y = Pow(x, e)", "y = Pow(x, one)", "y = Pow(x, zero)"])
def test_other_things(applying, body):
    text = f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[3] x, float e) => (float[3] y) <float one = {{1}}, float zero = {{0}}> {{ {body} }}"""
    assert not applying(text, ExpandPowers()).report.events


def _roots(body: str) -> str:
    return f"""<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,3] x) => (float[2,3] y) {{ {body} }}"""


def test_roots(applying):
    assert applying(_roots("a = Exp(x) b = Sqrt(a) y = Mul(b, b)"), CancelRoots()).ops == ["Exp"]
    assert applying(_roots("a = Mul(x, x) y = Sqrt(a)"), CancelRoots()).ops == ["Abs"]
    assert applying(_roots("a = Exp(x) b = Mul(x, a) y = Sqrt(b)"), CancelRoots(), runs=False).ops
    outcome = applying(_roots("b = Sqrt(x) y = Mul(b, b)"), CancelRoots(), runs=False)
    assert outcome.refused == ["the number under the root may be negative"]
    squared = applying(_roots("a = Abs(x) b = Sqrt(a) y = Mul(b, a)"), CancelRoots())
    assert not squared.applied
