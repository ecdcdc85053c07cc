"""Linear layers in a row become one, unless they are a low-rank factorization."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import MergeLinears

_X = "(float[2,3,4] x) => (float[A,B,C] y)"
_FLAT = "(float[3,4] x) => (float[B,C] y)"
_HELD = {"w": (4, 6), "v": (6, 5), "t": (5, 6), "b": (6,), "c": (5,), "r": (1, 6), "o": (1,)}


@pytest.mark.parametrize(
    ("signature", "body", "left"),
    [
        (_X, "p = MatMul(x, w) y = MatMul(p, v)", ["MatMul"]),
        (_X, "p = MatMul(x, w) q = Add(b, p) y = MatMul(q, v)", ["MatMul", "Add"]),
        (_X, "p = MatMul(x, w) q = Add(p, b) z = MatMul(q, v) y = Add(c, z)", ["MatMul", "Add"]),
        (_X, "p = MatMul(x, w) q = Add(p, o) z = MatMul(q, v) y = Add(z, o)", ["MatMul", "Add"]),
        (_FLAT, "p = Gemm(x, w, b) y = Gemm(p, v, c)", ["Gemm"]),
        (_FLAT, "p = Gemm(x, w, b) y = Gemm<transB = 1>(p, t)", ["Gemm"]),
        (_FLAT, "p = Gemm(x, w) q = Add(p, r) y = Gemm<transB = 1>(q, t, c)", ["Gemm"]),
        (_FLAT, "p = MatMul(x, w) y = Gemm(p, v, c)", ["Gemm"]),
        (_FLAT, "p = Gemm(x, w, b) y = MatMul(p, v)", ["MatMul", "Add"]),
        (_FLAT, "p = Gemm(x, w, b) q = MatMul(p, v) y = Relu(q)", ["MatMul", "Add", "Relu"]),
    ],
)
def test_two_become_one(network, applying, signature, body, left):
    used = {
        name: value
        for name, value in _HELD.items()
        if f" {name})" in body or f" {name}," in body or f"({name}," in body
    }
    outcome = applying(network(signature, body, **used), MergeLinears(), rtol=1e-4, atol=2e-5)
    assert outcome.ops == left
    assert len(outcome.applied) == 1


def test_low_rank_factors_stay(network, applying):
    body = "[p] p = MatMul(x, w) y = MatMul(p, v)"
    outcome = applying(network(_X, body, w=(4, 1), v=(1, 4)), MergeLinears())
    assert outcome.refused == [
        "is not merged with 'p' before it: 16 multiplications per row instead of 8"
    ]


def test_shared_weights_stay(network, applying):
    body = "[p] p = MatMul(x, w) y = MatMul(p, w)"
    outcome = applying(network(_X, body, w=(4, 4)), MergeLinears())
    assert outcome.refused == ["is not merged with 'p' before it: 16 weights instead of 0"]


@pytest.mark.parametrize(
    "body",
    [
        "p = MatMul(x, w) q = Relu(p) y = MatMul(q, v)",
        "p = MatMul(x, w) q = Add(p, table) y = MatMul(q, v)",
        "p = MatMul(x, w) q = Add(p, raising) z = MatMul(q, v) y = Squeeze(z, first)",
        "p = MatMul(x, w) q = MatMul(p, s) y = Add(p, q)",
        "p = MatMul(x, batched) y = MatMul(p, v)",
        "p = MatMul(x, w) q = Add(p, p) y = MatMul(q, v)",
    ],
)
def test_what_stays(network, applying, body):
    constants = _HELD | {
        "s": (6, 6),
        "table": (3, 6),
        "raising": (1, 1, 1, 6),
        "batched": (2, 4, 6),
        "first": np.int64([0]),
    }
    outcome = applying(network(_X, body, **constants), MergeLinears())
    assert not outcome.applied
    assert not outcome.refused


def test_alpha_is_refused(network, applying):
    body = "[p] p = Gemm<alpha = 2.0>(x, w) y = Gemm(p, v)"
    outcome = applying(network(_FLAT, body, w=(4, 6), v=(6, 5)), MergeLinears())
    assert outcome.refused == ["after 'p' (Gemm): its alpha or beta is not 1"]


def test_a_vector(network, applying):
    body = "p = MatMul(x, w) q = Add(p, b) y = MatMul(q, v)"
    proto = network("(float[4] x) => (float[C] y)", body, w=(4, 6), v=(6, 5), b=(6,))
    outcome = applying(proto, MergeLinears(), rtol=1e-4, atol=2e-5)
    assert outcome.ops == ["MatMul", "Add"]
