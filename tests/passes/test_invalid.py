"""Passes on models that the engine refuses: invalid ones are refused, and nothing stumbles."""

from __future__ import annotations

import pytest
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import load, objection
from onnxq.passes import run
from onnxq.rules import Simplify


def text(body: str, constants: str = "", domain: str = "") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 17{domain}]>
        g (float[1, 2, 4, 4] x) => (float[A, B, C, D] y) <{constants}> {{ {body} }}"""


INVALID = {
    "perm": text("y = Transpose <perm = [9, 9, 9, 9]> (x)"),
    "shapes": text("y = MatMul (x, W)", "float[3, 1] W = {1, 2, 3}"),
    "types": text("y = Add (x, W)", "int64[1] W = {1}"),
    "axis": text("y = Softmax <axis = 7> (x)"),
}


@pytest.mark.parametrize("case", INVALID)
def test_types_and_shapes_that_do_not_fit(case: str) -> None:
    model = load(parse_model(INVALID[case]))
    assert objection(model)
    with pytest.raises(ModelError, match=r"(?s)the model is invalid.*ONNX Runtime does not load"):
        run(model, [Simplify()])


def test_operators_of_other_engines_are_no_fault() -> None:
    model = load(parse_model(text("a = other.Magic (x) y = Relu (a)", domain=', "other" : 1')))
    assert not objection(model)
    result = run(model, [Simplify()])
    assert result.parity is None
    assert "not compared" in result.parity_note


def test_constants_that_do_not_fit_each_other() -> None:
    """The bias of a convolution, which shape inference does not look at."""
    constants = """float[2, 2, 1, 1] W = {1, 2, 3, 4}, float[5] bias = {1, 2, 3, 4, 5},
        float[2] s = {1, 2}, float[2] b = {0, 1}, float[2] m = {0, 1}, float[2] v = {1, 1}"""
    body = "a = Conv (x, W, bias) y = BatchNormalization (a, s, b, m, v)"
    model = load(parse_model(text(body, constants)))
    with pytest.raises(ModelError, match=r"the model is not understood.*does not run it.*bias"):
        run(model, [Simplify()])
