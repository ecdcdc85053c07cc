"""Linear layers between two reshapes multiply the original tensor."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import UnflattenLinears

_X = "(float[2,3,4] x) => (float[A,B,C] y)"
_HELD = {
    "w": (4, 5), "t": (5, 4), "b": (5,), "row": (1, 5), "flat": np.int64([-1, 4]),
    "back": np.int64([2, 3, 5]), "other": np.int64([3, 2, 5]), "first": np.int64([0]),
    "free": np.int64([-1, 3, 5]), "full": (6, 5), "mixed": np.int64([2, 12]), "v": (12, 5),
    "deep": np.int64([2, 1, 5]),
}  # fmt: skip


def _apply(applying, network, body, signature=_X, **options):
    used = {k: v for k, v in _HELD.items() if any(f"{s}{k}{e}" in body for s in " (" for e in ",)")}
    proto = network(signature, body, **used)
    return applying(proto, UnflattenLinears(), rtol=1e-4, atol=1e-5, **options)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("f = Reshape(x, flat) g = Gemm(f, w, b) y = Reshape(g, back)", ["MatMul", "Add"]),
        ("f = Reshape(x, flat) g = Gemm<transB = 1>(f, t, row) y = Reshape(g, free)",
         ["MatMul", "Add"]),
        ("f = Reshape(x, flat) g = Gemm(f, w) y = Reshape(g, back)", ["MatMul"]),
        ("f = Flatten<axis = 2>(x) g = MatMul(f, w) y = Reshape(g, back)", ["MatMul"]),
        ("f = Reshape(x, flat) m = MatMul(f, w) g = Add(b, m) y = Reshape(g, back)",
         ["MatMul", "Add"]),
    ],
)  # fmt: skip
def test_reshapes_go(network, applying, body, left):
    assert _apply(applying, network, body).ops == left


def test_one_flattened_tensor_for_three_layers(network, applying):
    layers = " ".join(
        f"g{i} = Gemm(f, w, b) r{i} = Reshape(g{i}, back) t{i} = Relu(r{i})" for i in range(3)
    )
    outcome = _apply(applying, network, f"f = Reshape(x, flat) {layers} y = Sum(t0, t1, t2)")
    assert "Reshape" not in outcome.ops


def test_a_free_batch(network, applying):
    feed = {"x": np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)}
    body = "f = Reshape(x, flat) g = Gemm(f, w, b) y = Reshape(g, free)"
    signature = "(float[N,3,4] x) => (float[A,B,C] y)"
    assert _apply(applying, network, body, signature, feed=feed).ops == ["MatMul", "Add"]


def test_squeezed(network, applying):
    signature = "(float[1,3,4] x) => (float[A,B,C] y)"
    body = "f = Squeeze(x, first) g = Gemm(f, w, b) y = Unsqueeze(g, first)"
    assert _apply(applying, network, body, signature).ops == ["MatMul", "Add"]


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("f = Reshape(x, flat) g = Gemm(f, w, b) y = Reshape(g, other)",
         ["[2, 3, 4] becomes [3, 2, 5]"]),
        ("f = Reshape(x, mixed) g = Gemm(f, v, b) y = Reshape(g, deep)",
         []),
        ("f = Reshape(x, flat) g = Gemm(f, w, full) y = Reshape(g, back)", []),
        ("f = Reshape(x, flat) g = Gemm(f, w, b) r = Relu(g) y = Reshape(r, back)", []),
        ("f = Reshape(x, flat) g = Gemm(f, w) h = Relu(g) k = Add(h, g) y = Reshape(k, back)", []),
    ],
)  # fmt: skip
def test_what_stays(network, applying, body, reasons):
    body = body.replace("f = ", "[f] f = ").replace("y = Reshape", "[r] y = Reshape")
    outcome = _apply(applying, network, body)
    assert not outcome.applied
    assert outcome.refused == [f"stays between 'f' and 'r': {reason}" for reason in reasons]
