"""Elu, Selu and Celu by Exp."""

from __future__ import annotations

import pytest

from onnxq.rules import ExpandElu, FuseElu
from onnxq.rules.fixpoint import rewrite_all


def _text(body: str, shape: str = "64,80", opset: int = 15) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{shape}] y) {{ {body} }}"""


_CASES = {
    "y = Elu(x)": ["Clip", "Exp", "Add", "Max"],
    "y = Elu<alpha = 0.5>(x)": ["Clip", "Exp", "Mul", "Add", "Max"],
    "y = Elu<alpha = 2.0>(x)": ["Relu", "Clip", "Exp", "Mul", "Add", "Add"],
    "y = Selu(x)": ["Relu", "Mul", "Clip", "Exp", "Mul", "Add", "Add"],
    "y = Selu<alpha = 1.5, gamma = 1.2>(x)": ["Relu", "Mul", "Clip", "Exp", "Mul", "Add", "Add"],
    "y = Celu<alpha = 0.5>(x)": ["Clip", "Mul", "Exp", "Mul", "Add", "Max"],
    "y = Celu<alpha = 2.0>(x)": ["Clip", "Mul", "Exp", "Mul", "Add", "Max"],
    "y = Celu(x)": ["Clip", "Exp", "Add", "Max"],
}


@pytest.mark.parametrize("body", _CASES)
def test_large(applying, body):
    assert applying(_text(body), ExpandElu()).ops == _CASES[body]


@pytest.mark.parametrize("body", _CASES)
def test_small_tensors_stay(applying, body):
    assert not applying(_text(body, "2,5"), ExpandElu()).applied


def test_free_lengths(applying):
    assert applying(_text("y = Elu(x)", "N,16,H,W"), ExpandElu()).applied
    assert not applying(_text("y = Elu(x)", "N,T,8"), ExpandElu()).applied


def test_old_operator_sets(applying):
    assert applying(_text("y = Elu(x)", opset=9), ExpandElu()).ops == _CASES["y = Elu(x)"]


def test_negative_alpha(applying):
    assert applying(_text("y = Elu<alpha = -1.0>(x)"), ExpandElu()).refused == ["alpha is -1"]


class _Turns:
    """Recognition and expansion in turns, as the joint pass takes them."""

    exact = True

    def apply(self, model):
        for _ in range(2):
            yield from rewrite_all(model, (FuseElu(),))
            yield from rewrite_all(model, (ExpandElu(),))


@pytest.mark.parametrize("body", _CASES)
def test_recognition_does_not_undo_it(applying, body):
    assert applying(_text(body), _Turns()).ops == _CASES[body]
