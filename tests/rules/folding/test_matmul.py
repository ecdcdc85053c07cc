"""MatMul and Gemm take in what stands before and behind them."""

from __future__ import annotations

import numpy as np
import pytest

_CUBE = "float[2,3,4] x"
_FLAT = "float[3,4] x"
_PAIR = "float[2,3,4] x, float[2,4,5] z"


@pytest.mark.parametrize(
    ("body", "constants", "ops"),
    [
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4, 5), "a": (5,)}, ["MatMul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4, 5), "a": ()}, ["MatMul"]),
        ("{ t = MatMul(w, x) y = Mul(t, a) }", {"w": (5, 3), "a": (5, 1)}, ["MatMul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4, 5), "a": (3, 1)}, ["MatMul", "Mul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (2, 4, 5), "a": (2, 1, 5)}, ["MatMul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (2, 4, 5), "a": (2, 1, 1)}, ["MatMul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4, 5), "a": (2, 1, 1)}, ["MatMul", "Mul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4,), "a": ()}, ["MatMul"]),
        ("{ t = MatMul(x, w) y = Mul(t, a) }", {"w": (4,), "a": (3,)}, ["MatMul", "Mul"]),
        ("{ t = Mul(x, a) y = MatMul(t, w) }", {"w": (4, 5), "a": (4,)}, ["MatMul"]),
        ("{ t = Mul(x, a) y = MatMul(w, t) }", {"w": (5, 3), "a": (3, 1)}, ["MatMul"]),
        ("{ t = Mul(x, a) y = MatMul(t, w) }", {"w": (4, 5), "a": (3, 1)}, ["Mul", "MatMul"]),
        ("{ t = Mul(x, a) y = MatMul(t, w) }", {"w": (2, 4, 5), "a": (4,)}, ["MatMul"]),
        ("{ t = Add(x, c) y = MatMul(t, w) }", {"w": (4, 5), "c": (4,)}, ["Add", "MatMul"]),
    ],
)
def test_one_weight(folding, body, constants, ops):
    assert folding(body, _CUBE, **constants).ops == ops


def test_rows_go_on_behind(folding):
    body = "{ t = Mul(x, a) u = MatMul(t, w) y = MatMul(v, u) }"
    assert folding(body, _CUBE, w=(4, 5), a=(3, 1), v=(2, 3)).ops == ["MatMul", "MatMul"]


def test_an_addition_goes_on_behind_into_the_next_one(folding):
    body = "{ t = Mul(x, a) u = Add(t, c) v = MatMul(u, w) y = Add(v, b) }"
    outcome = folding(body, _CUBE, a=(4,), c=(4,), w=(4, 5), b=(5,))
    assert outcome.ops == ["MatMul", "Add"]
    body = "{ t = Add(x, c) u = MatMul(w, t) y = Add(u, b) }"
    assert folding(body, _CUBE, c=(), w=(5, 3), b=(4,)).ops == ["MatMul", "Add"]


def test_the_add_behind_is_the_engines_bias(folding):
    outcome = folding("{ t = MatMul(x, w) y = Add(t, b) }", _CUBE, w=(4, 5), b=(5,))
    assert outcome.ops == ["MatMul", "Add"]
    assert not outcome.refused
    body = "{ t = MatMul(x, w) u = Add(t, b) y = Mul(u, a) }"
    outcome = folding(body, _CUBE, w=(4, 5), b=(5,), a=(5,))
    assert outcome.ops == ["MatMul", "Add"]


def test_attention_scale_goes_into_the_queries(folding):
    body = """{ q = MatMul(x, w) r = Add(q, b) s = Reshape(r, shape)
        t = Transpose <perm = [0, 2, 1, 3]> (s) scores = MatMul(t, z) half = Div(scores, root)
        y = Softmax <axis = -1> (half) }"""
    outcome = folding(
        body,
        "float[2,3,4] x, float[2,2,2,3] z",
        w=(4, 4),
        b=(4,),
        shape=np.int64([0, 0, 2, 2]),
        root=np.float32(1.4142135),
    )
    assert outcome.ops == ["MatMul", "Add", "Reshape", "Transpose", "MatMul", "Softmax"]
    assert outcome.applied == ["folded 0.7071·x into 'make_q' (MatMul), 'make_r' (Add)"]


def test_the_scale_of_one_of_three_slices(folding):
    body = """{ t = MatMul(x, w) u = Reshape(t, shape) v = Transpose <perm = [2, 0, 3, 1, 4]> (u)
        q = Gather <axis = 0> (v, i0) k = Gather <axis = 0> (v, i1) l = Gather <axis = 0> (v, i2)
        s = Mul(q, a) kt = Transpose <perm = [0, 1, 3, 2]> (k) p = MatMul(s, kt)
        y = MatMul(p, l) }"""
    places = {f"i{i}": np.int64(i) for i in range(3)}
    constants = {"w": (4, 12), "shape": np.int64([0, 0, 3, 2, 2]), "a": (), **places}
    assert "Mul" not in folding(body, _CUBE, **constants).ops
    constants |= {"i1": np.int64(0), "i2": np.int64(0)}
    outcome = folding(body, _CUBE, **constants)
    assert "Mul" in outcome.ops
    assert outcome.refused[0].startswith("'v' is also read elsewhere")


def test_two_activations_take_what_their_sources_take(folding):
    body = "{ u = MatMul(x, w) t = MatMul(u, z) y = Mul(t, a) }"
    assert folding(body, _PAIR, w=(4, 4), a=(3, 1)).ops == ["MatMul", "MatMul", "Mul"]
    assert folding(body, _PAIR, w=(4, 4), a=(5,)).ops == ["MatMul", "MatMul", "Mul"]
    body = "{ u = Relu(z) v = MatMul(w, u) t = MatMul(x, v) y = Mul(t, a) }"
    inputs = "float[2,3,4] x, float[2,3,5] z"
    assert folding(body, inputs, w=(4, 3), a=()).ops == ["Relu", "MatMul", "MatMul"]


def test_on_what_is_summed_over_it_changes_sides(folding):
    body = "{ v = MatMul(w, z) t = Mul(x, a) y = MatMul(t, v) }"
    assert folding(body, "float[2,3,4] x, float[2,3,5] z", w=(4, 3), a=(4,)).ops == [
        "MatMul",
        "MatMul",
    ]


@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), (), (3, 5)])
@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_behind(folding, bias, turned):
    inputs = "x, w" if bias is None else "x, w, b"
    attributes = f"<transB = {turned}, alpha = 0.5, beta = 2.0>"
    body = f"{{ t = Gemm {attributes} ({inputs}) u = Mul(t, a) y = Add(u, c) }}"
    constants = {"w": (5, 4) if turned else (4, 5), "a": (5,), "c": (1, 5)}
    if bias is not None:
        constants["b"] = bias
    outcome = folding(body, _FLAT, **constants)
    assert outcome.ops == ["Gemm"]
    shapes = {c.name: c.shape for c in outcome.model.constants}
    if bias != (3, 5):
        assert shapes["make_t_bias" if bias is None else "b_fused"] in ((5,), (1, 5))


@pytest.mark.parametrize("bias", [None, (5,), (3, 1)])
@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_before(folding, bias, turned):
    inputs = "u, w" if bias is None else "u, w, b"
    body = f"{{ t = Mul(x, a) u = Add(t, c) y = Gemm <transA = {turned}, alpha = 3.0> ({inputs}) }}"
    along = (4, 1) if turned else (4,)
    constants = {"w": (4, 5), "a": along, "c": along}
    if bias is not None:
        constants["b"] = bias
    outcome = folding(body, "float[4,3] x" if turned else _FLAT, **constants)
    if bias == (3, 1):
        assert outcome.ops == ["Add", "Gemm"]
        assert "the bias 'b' of 'make_y' differs by row" in outcome.refused[0]
    else:
        assert outcome.ops == ["Gemm"]


def test_gemm_without_constants(folding):
    inputs = "float[3,4] x, float[4,5] z, float[5] b"
    body = "{ t = Gemm(x, z, b) y = Mul(t, a) }"
    outcome = folding(body, inputs, a=np.float32(0.25))
    assert outcome.ops == ["Gemm"]
    assert outcome.model.nodes[0].attrs == {"alpha": 0.25, "beta": 0.25}
    body = "{ t = Mul(b, a) y = Gemm(x, z, t) }"
    outcome = folding(body, inputs, a=np.float32(0.5))
    assert outcome.model.nodes[0].attrs == {"beta": 0.5}
    outcome = folding("{ t = Gemm(x, z, b) y = Add(t, a) }", inputs, a=())
    assert "the bias 'b' of 'make_t' is not a constant" in outcome.refused[0]


def test_rows_of_gemm(folding):
    body = "{ t = Gemm(x, w, b) y = Mul(t, a) }"
    outcome = folding(body, _FLAT, w=(4, 5), b=(5,), a=(3, 1))
    assert outcome.ops == ["Gemm", "Mul"]
    body = "{ u = MatMul(v, x) t = Gemm(u, w) y = Mul(t, a) }"
    assert folding(body, _FLAT, v=(2, 3), w=(4, 5), a=(2, 1)).ops == ["MatMul", "Gemm"]
