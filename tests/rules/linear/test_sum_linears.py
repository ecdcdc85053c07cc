"""Parallel linear layers of one input are one layer."""

from __future__ import annotations

import pytest

from onnxq.rules import SumParallelLinears

_X = "(float[3,4] x) => (float[N,C] y)"


@pytest.mark.parametrize(
    ("body", "constants", "left"),
    [
        ("p = MatMul(x, w) q = MatMul(x, v) y = Add(p, q)", {}, ["MatMul"]),
        (
            "p = MatMul(x, w) s = Add(p, b) q = MatMul(x, v) t = Add(q, c) y = Add(s, t)",
            {},
            ["Add", "Add", "MatMul"],
        ),
        ("p = Gemm(x, w, b) q = Gemm<transB = 1>(x, u, c) y = Add(p, q)", {}, ["Gemm"]),
        (
            "p = Gemm<transB = 1>(x, u) q = MatMul(x, v) r = Relu(x) z = MatMul(r, w) "
            "y = Sum(q, z, p)",
            {},
            ["Gemm", "MatMul", "Relu", "Sum"],
        ),
    ],
)
def test_layers_become_one(network, applying, body, constants, left):
    constants = {"w": (4, 5), "v": (4, 5), "u": (5, 4), "b": (5,), "c": (1, 5)}
    outcome = applying(network(_X, body, **constants), SumParallelLinears(), rtol=1e-4, atol=1e-5)
    assert sorted(outcome.ops) == left


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("[p] p = MatMul(x, w) q = MatMul(x, n) y = Add(p, q)", ["5 columns beside 1"]),
        ("p = MatMul(x, w) r = Relu(x) q = MatMul(r, w) y = Add(p, q)", []),
        ("p = Gemm(x, w, full) q = Gemm(x, v, full) y = Add(p, q)", []),
        ("p = Gemm<alpha = 2.0>(x, w) q = MatMul(x, v) y = Add(p, q)", []),
        ("p = MatMul(x, w) t = Relu(p) q = MatMul(x, v) s = Add(p, q) y = Add(s, t)", []),
    ],
)
def test_what_stays(network, applying, body, reasons):
    constants = {"w": (4, 5), "v": (4, 5), "n": (4, 1), "full": (3, 5)}
    outcome = applying(network(_X, body, **constants), SumParallelLinears())
    assert not outcome.applied
    assert outcome.refused[: len(reasons)] == reasons
