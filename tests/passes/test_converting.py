"""InlineFunctions and UpgradeOpset: ONNX's own tools, verified and refused where they fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onnxq.errors import PreconditionError
from onnxq.passes import InlineFunctions, UpgradeOpset

Applying = Callable[..., Any]

_FUNCTIONS = """<ir_version: 9, opset_import: ["": 18, "my": 1]>
  g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { t = my.more(x, w) y = my.twice(t) }
  <domain: "my", opset_import: ["": 18]> twice (a) => (b) { b = Add(a, a) }
  <domain: "my", opset_import: ["": 18, "my": 1]> more (a, w) => (b) {
    t = my.twice(a) b = Mul(t, w) }"""


def test_functions_are_inlined(applying: Applying) -> None:
    outcome = applying(_FUNCTIONS, InlineFunctions())
    assert outcome.ops == ["Add", "Mul", "Add"]
    assert [e.node for e in outcome.report.applied] == ["my.twice", "my.more"]
    assert not outcome.model.header.functions


def test_functions_of_another_operator_set_are_refused(applying: Applying) -> None:
    text = _FUNCTIONS.replace('"my", opset_import: ["": 18]>', '"my", opset_import: ["": 12]>')
    outcome = applying(text, InlineFunctions(), runs=False)
    assert "it needs other operator set versions than the model" in outcome.refused


def test_a_model_without_functions_is_left_alone(applying: Applying) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {
      y = Relu(x) }"""
    assert not applying(text, InlineFunctions()).report.events


@pytest.mark.parametrize("version", [13, 18, 21])
def test_an_old_operator_set_is_raised(version: int, applying: Applying) -> None:
    text = """<ir_version: 7, opset_import: ["": 11]>
      g (float[1, 4] x) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
        t = Add(x, w) s = Softmax <axis = 1> (t) c = Clip(s) y = Squeeze <axes = [0]> (c) }"""
    outcome = applying(text, UpgradeOpset(version))
    assert outcome.model.opset == version
    assert outcome.applied == [f"converted from operator set 11 to {version}"]


def test_a_newer_operator_set_stays(applying: Applying) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {
      y = Relu(x) }"""
    assert not applying(text, UpgradeOpset(17)).report.events


def test_functions_must_be_inlined_first(applying: Applying) -> None:
    with pytest.raises(PreconditionError, match="inline them first"):
        applying(_FUNCTIONS, UpgradeOpset(21))
