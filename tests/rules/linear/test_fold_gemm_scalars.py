"""Gemm's alpha and beta go into constants."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import FoldGemmScalars

_X = "(float[2,3] x) => (float[N,C] y)"
_HELD = {"w": (3, 2), "b": (2,)}


@pytest.mark.parametrize(
    ("body", "events"),
    [
        ("y = Gemm<alpha = 0.5>(x, w, b)", ["folded alpha = 0.5 into 'w'"]),
        ("y = Gemm<beta = 2.0>(x, w, b)", ["folded beta = 2 into 'b'"]),
        ("y = Gemm<alpha = 0.1, beta = 0.0>(x, w, b)",
         ["folded alpha = 0.1 into 'w'", "folded beta = 0 into 'b'"]),
        ("y = Gemm<beta = 3.0>(x, w)", ["beta without an operand was dropped"]),
        ("y = Gemm<alpha = 1.0, beta = 1.0>(x, w, b)", []),
        ("y = Gemm<alpha = 3.0, transA = 1, transB = 1>(w, x)", ["folded alpha = 3 into 'w'"]),
    ],
)  # fmt: skip
def test_folding(network, applying, body, events):
    held = {"w": (3, 2)} if "b)" not in body else _HELD
    outcome = applying(network(_X, body, **held), FoldGemmScalars())
    assert outcome.applied == events
    assert all(outcome.model.nodes[0].attrs.get(key, 1.0) == 1.0 for key in ("alpha", "beta"))


def test_a_shared_weight_is_copied(network, applying):
    body = "p = Gemm<alpha = 2.0>(x, w) q = Gemm(x, w) y = Add(p, q)"
    outcome = applying(network(_X, body, w=(3, 2)), FoldGemmScalars())
    weights = [node.inputs[1].name for node in outcome.model.nodes[:2]]
    assert weights == ["w_scaled", "w"]


def test_what_varies_stays(network, applying):
    signature = "(float[2,3] x, float[3,2] v, float[2] c) => (float[N,C] y)"
    outcome = applying(
        network(signature, "y = Gemm<alpha = 2.0, beta = 0.5>(x, v, c)"), FoldGemmScalars()
    )
    assert outcome.refused == ["alpha = 2: 'v' varies"]


def test_integers_stay(network, applying):
    whole = np.ones((3, 2), np.int32)
    signature = "(int32[2,3] x) => (int32[N,C] y)"
    outcome = applying(
        network(signature, "y = Gemm<alpha = 0.5>(x, w)", w=whole), FoldGemmScalars(), runs=False
    )
    assert outcome.refused == ["alpha = 0.5: the operand is int32"]
