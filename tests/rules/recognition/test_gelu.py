"""Every spelling of GELU by Erf is recognised, and nothing that only resembles it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from onnxq.engine import open_session
from onnxq.rules import FuseGelu

Applying = Callable[..., Any]

_SCALED = ["d = Div(x, root)", "d = Mul(x, inverse)", "d = Mul(inverse, x)"]
_ADDED = ["a = Add(e, one)", "a = Add(one, e)"]
_PRODUCTS = [
    "p = Mul(x, a) q = Mul(p, half)",
    "p = Mul(a, x) q = Mul(half, p)",
    "p = Mul(x, a) q = Div(p, two)",
    "p = Mul(half, a) q = Mul(x, p)",
    "p = Mul(a, half) q = Mul(p, x)",
    "p = Div(a, two) q = Mul(x, p)",
    "p = Mul(x, half) q = Mul(p, a)",
    "p = Mul(half, x) q = Mul(a, p)",
    "p = Div(x, two) q = Mul(p, a)",
]
_PLAIN = f"{_SCALED[0]} e = Erf(d) {_ADDED[0]} {_PRODUCTS[0]}"


def _text(body: str, *, opset: int = 20, outputs: str = "float[2, 3] y") -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g (float[2, 3] x) => ({outputs})
      <float root = {{1.4142135}}, float inverse = {{0.70710677}}, float one = {{1}},
       float[1] half = {{0.5}}, float two = {{2}}, float other = {{3}}>
      {{ {body} y = Relu(q) }}"""


@pytest.mark.parametrize("product", _PRODUCTS)
@pytest.mark.parametrize("added", _ADDED)
@pytest.mark.parametrize("scaled", _SCALED)
def test_every_spelling(scaled: str, added: str, product: str, applying: Applying) -> None:
    outcome = applying(_text(f"{scaled} e = Erf(d) {added} {product}"), FuseGelu())
    assert outcome.ops == ["Gelu", "Relu"]
    assert outcome.report.applied[0].node == f"{outcome.model.nodes[0].name}"


def test_several_in_one_model(applying: Applying) -> None:
    second = "f = Div(q, root) h = Erf(f) i = Add(h, one) j = Mul(q, i) k = Mul(j, half)"
    outcome = applying(
        _text(f"{_PLAIN} {second} z = Neg(k)", outputs="float[2, 3] y, float[2, 3] z"), FuseGelu()
    )
    assert outcome.ops == ["Gelu", "Gelu", "Neg", "Relu"]


def test_as_an_output_of_the_model(applying: Applying) -> None:
    text = _text(_PLAIN, outputs="float[2, 3] q, float[2, 3] y")
    outcome = applying(text, FuseGelu())
    assert outcome.ops == ["Gelu", "Relu"]
    assert [t.name for t in outcome.model.outputs] == ["q", "y"]


def test_below_opset_20_it_says_what_is_missing(applying: Applying) -> None:
    outcome = applying(_text(_PLAIN, opset=17), FuseGelu())
    assert outcome.refused == ["Gelu needs operator set 20, here 17"]


_MISSES = {
    "other scale": ("d = Div(x, other) e = Erf(d)", _ADDED[0], _PRODUCTS[0], "square root of 2"),
    "root in place of its inverse": (
        "d = Mul(x, root) e = Erf(d)",
        _ADDED[0],
        _PRODUCTS[0],
        "root of 2",
    ),
    "divided the wrong way": ("d = Div(root, x) e = Erf(d)", _ADDED[0], _PRODUCTS[0], "divided by"),
    "not scaled": ("e = Erf(x)", _ADDED[0], _PRODUCTS[0], "divided by the square root"),
    "adds 2": ("d = Div(x, root) e = Erf(d)", "a = Add(e, two)", _PRODUCTS[0], "no 1 is added"),
    "subtracts": ("d = Div(x, root) e = Erf(d)", "a = Sub(one, e)", _PRODUCTS[0], "no 1 is added"),
    "no half": (
        "d = Div(x, root) e = Erf(d)",
        _ADDED[0],
        "p = Mul(x, a) q = Mul(p, other)",
        "the product is not",
    ),
    "half the wrong way": (
        "d = Div(x, root) e = Erf(d)",
        _ADDED[0],
        "p = Mul(x, a) q = Div(two, p)",
        "the product is not",
    ),
    "half of x the wrong way": (
        "d = Div(x, root) e = Erf(d)",
        _ADDED[0],
        "p = Div(two, x) q = Mul(p, a)",
        "the product is not",
    ),
    "other factor": (
        "r = Neg(x) d = Div(x, root) e = Erf(d)",
        _ADDED[0],
        "p = Mul(r, a) q = Mul(p, half)",
        "the product is not",
    ),
    "squared": (
        "d = Div(x, root) e = Erf(d)",
        _ADDED[0],
        "p = Mul(x, a) q = Mul(p, x)",
        "the product is not",
    ),
}


@pytest.mark.parametrize("name", _MISSES)
def test_near_misses(name: str, applying: Applying) -> None:
    scaled, added, product, reason = _MISSES[name]
    outcome = applying(_text(f"{scaled} {added} {product}"), FuseGelu())
    (found,) = outcome.refused
    assert reason in found


@pytest.mark.parametrize("inner", ["e", "a", "p"])
def test_inner_results_read_elsewhere_are_refused(inner: str, applying: Applying) -> None:
    outputs = f"float[2, 3] y, float[2, 3] {inner}"
    outcome = applying(_text(_PLAIN, outputs=outputs), FuseGelu())
    assert "Gelu" not in outcome.ops
    assert len(outcome.refused) == 1


@pytest.mark.parametrize("product", _PRODUCTS)
@pytest.mark.parametrize("scaled", _SCALED)
def test_below_opset_20_it_is_spelled_as_the_engine_knows_it(
    scaled: str, product: str, applying: Applying, tmp_path: Path
) -> None:
    outcome = applying(_text(f"{scaled} e = Erf(d) {_ADDED[1]} {product}", opset=13), FuseGelu())
    assert outcome.refused == ["Gelu needs operator set 20, here 13"]
    assert outcome.report.refused[0].needs_opset == 20
    open_session(outcome.model, optimized_path=tmp_path / "optimized.onnx")
    optimized = onnx.load(tmp_path / "optimized.onnx")
    assert [node.op_type for node in optimized.graph.node] == ["Gelu", "Relu"]


def test_other_types_are_not_spelled_anew(applying: Applying) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (double[3] x) => (double[3] q) <double inverse = {0.70710677}, double one = {1},
      double half = {0.5}> { d = Mul(x, inverse) e = Erf(d) a = Add(e, one) p = Mul(x, a)
      q = Mul(p, half) }"""
    outcome = applying(text, FuseGelu(), runs=False)
    assert outcome.refused == ["the input is float64, not float32"]
