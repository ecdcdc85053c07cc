"""Rows of constant arithmetic become one or two nodes."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules.folding.collapse_affine import CollapseAffine

_CHANNELS = (4, 1, 1)
_NORM = "BatchNormalization"
_STATISTICS = {"g": (4,), "e": (4,), "m": (4,), "pv": (4,)}


@pytest.mark.parametrize(
    ("body", "ops"),
    [
        ("{ t = Mul(x, a) y = Mul(t, c) }", ["Mul"]),
        ("{ t = Add(x, a) s = Sub(t, c) y = Add(d, s) }", ["Add"]),
        ("{ t = Mul(x, a) s = Add(t, c) r = Mul(s, d) y = Sub(r, a) }", ["Mul", "Add"]),
        ("{ t = Add(x, a) s = Mul(t, c) y = Sub(d, s) }", ["Mul", "Add"]),
        ("{ t = Neg(x) y = Add(t, d) }", ["Sub"]),
        ("{ t = Sub(d, x) y = Neg(t) }", ["Add"]),
        ("{ t = Neg(x) s = Neg(t) y = Relu(s) }", ["Relu"]),
        ("{ y = Div(x, pa) }", ["Mul"]),
        ("{ t = Div(x, pa) s = Mul(t, pa) y = Relu(s) }", ["Relu"]),
        ("{ t = Mul(x, a) y = Add(t, c) }", ["Mul", "Add"]),
        ("{ t = Add(x, c) y = Mul(t, a) }", ["Add", "Mul"]),
        ("{ y = Sub(d, x) }", ["Sub"]),
        ("{ y = Neg(x) }", ["Neg"]),
        ("{ y = Sub(x, d) }", ["Sub"]),
        ("{ t = Mul(x, a) y = Mul(t, w) }", ["Mul"]),
    ],
)
def test_rows(folding, body, ops):
    constants = {"a": _CHANNELS, "c": _CHANNELS, "d": (), "pa": _CHANNELS, "w": (6,)}
    used = {n: s for n, s in constants.items() if f"{n})" in body or f"({n}" in body}
    # x / a · a is x only but for its last bit.
    outcome = folding(body, rule=CollapseAffine(), **used)
    assert outcome.ops == ops


def test_what_is_said(folding):
    outcome = folding("{ t = Mul(x, a) y = Div(t, c) }", rule=CollapseAffine(), a=(), c=())
    assert outcome.applied == ["Mul, Div became Mul"]
    outcome = folding("{ t = Neg(x) s = Neg(t) y = Relu(s) }", rule=CollapseAffine())
    assert outcome.applied == ["Neg, Neg became nothing"]


@pytest.mark.parametrize("order", ["before", "behind", "between"])
def test_one_batch_normalization_stays_one(folding, order):
    norm = "BatchNormalization <epsilon = 0.001>"
    rows = {
        "before": f"{{ t = Mul(x, a) y = {norm} (t, g, e, m, pv) }}",
        "behind": f"{{ t = {norm} (x, g, e, m, pv) y = Add(t, a) }}",
        "between": f"{{ r = Add(x, a) t = {norm} (r, g, e, m, pv) s = Neg(t) y = Mul(s, a) }}",
    }
    outcome = folding(rows[order], rule=CollapseAffine(), **_STATISTICS, a=_CHANNELS)
    assert outcome.ops == [_NORM]
    assert outcome.applied[0].endswith("became BatchNormalization")


def test_two_batch_normalizations(folding):
    body = f"{{ t = {_NORM} (x, g, e, m, pv) y = {_NORM} (t, e, g, m, pv) }}"
    assert folding(body, rule=CollapseAffine(), **_STATISTICS).ops == [_NORM]


def test_a_row_that_others_read_ends_there(folding):
    body = "{ t = Mul(x, a) y = Mul(t, a) z = Relu(t) }"
    outcome = folding(body, rule=CollapseAffine(), a=(), outputs="float y, float z")
    assert outcome.ops == ["Mul", "Mul", "Relu"]


def test_long_rows(folding):
    steps = [f"t{i + 1} = {'Add' if i % 3 else 'Mul'}(t{i}, a)" for i in range(50)]
    body = f"{{ t0 = Relu(x) {' '.join(steps)} y = Relu(t50) }}"
    outcome = folding(body, rule=CollapseAffine(), a=np.float32(0.9))
    assert outcome.ops == ["Relu", "Mul", "Add", "Relu"]


def test_large_constants_of_two_axes_are_not_made(folding):
    body = "{ t = Mul(x, a) y = Mul(t, b) }"
    shape = "float[1,200,200] x"
    outcome = folding(body, shape, rule=CollapseAffine(), a=(200, 1), b=(200,))
    assert outcome.ops == ["Mul", "Mul"]


def test_general_constants_merge(folding):
    body = "{ t = Add(x, a) y = Add(t, b) }"
    shape = "float[2,20,30] x"
    assert folding(body, shape, rule=CollapseAffine(), a=(1, 20, 30), b=(20, 30)).ops == ["Add"]


def test_nothing_is_left_between_input_and_output(folding):
    outcome = folding("{ t = Neg(x) y = Neg(t) }", rule=CollapseAffine())
    assert outcome.ops == ["Neg", "Neg"]
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]
