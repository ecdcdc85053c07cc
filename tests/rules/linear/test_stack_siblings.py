"""Layers of one input whose results are joined become one."""

from __future__ import annotations

import pytest

from onnxq.rules import StackSiblings

_X = "(float[2,4,6,5] x) => (float[N,C,H,W] y)"
_ROWS = "(float[2,3,4] x) => (float[A,B,C] y)"
_FLAT = "(float[3,4] x) => (float[B,C] y)"
_HELD = {
    "w": (3, 4, 3, 3), "v": (5, 4, 3, 3), "u": (2, 4, 1, 1), "b": (3,), "c": (5,),
    "k": (4, 3), "l": (4, 5), "t": (5, 4), "g": (4, 2, 3, 3),
}  # fmt: skip


def _apply(applying, network, signature, body):
    used = {k: v for k, v in _HELD.items() if any(f"{s}{k}{e}" in body for s in " (" for e in ",)")}
    return applying(network(signature, body, **used), StackSiblings(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("signature", "body", "left"),
    [
        (_X, "p = Conv(x, w) q = Conv(x, v) y = Concat<axis = 1>(p, q)", ["Conv"]),
        (_X, "p = Conv(x, w, b) q = Conv(x, v) y = Concat<axis = -3>(p, q)", ["Conv"]),
        (_X, "p = Conv(x, w) q = Conv(x, v, c) y = Concat<axis = 1>(p, q)", ["Conv"]),
        (
            _X,
            "m = MaxPool<kernel_shape = [3,3]>(x) p = Conv(x, w) q = Conv(x, v) "
            "y = Concat<axis = 1>(m, p, q, m)",
            ["Concat", "Conv", "MaxPool"],
        ),
        (
            _X,
            "p = Conv(x, w) q = Conv(x, v) r = Conv(x, w) y = Concat<axis = 1>(p, q, r)",
            ["Conv"],
        ),
        (
            _X,
            "o = Conv<pads = [1,1,1,1]>(x, w) n = Conv(x, u) p = Conv(x, u) "
            "y = Concat<axis = 1>(n, o, p)",
            ["Concat", "Conv", "Conv", "Conv"],
        ),
        (_ROWS, "p = MatMul(x, k) q = MatMul(x, l) y = Concat<axis = 2>(p, q)", ["MatMul"]),
        (
            _FLAT,
            "p = Gemm(x, k, b) q = Gemm<transB = 1>(x, t) y = Concat<axis = -1>(p, q)",
            ["Gemm"],
        ),
        (
            _FLAT,
            "p = Gemm<transB = 1>(x, t) q = Gemm(x, k, b) y = Concat<axis = 1>(p, q)",
            ["Gemm"],
        ),
    ],
)
def test_neighbours_become_one(network, applying, signature, body, left):
    outcome = _apply(applying, network, signature, body)
    assert sorted(outcome.ops) == left


def test_the_first_keeps_its_name(network, applying):
    body = "[a] p = Conv(x, w) [b] q = Conv(x, v) [c] y = Concat<axis = 1>(p, q)"
    outcome = _apply(applying, network, _X, body)
    assert outcome.applied == ["stacked onto 'a' (Conv) beside it"]
    assert [node.name for node in outcome.model.nodes] == ["a"]


@pytest.mark.parametrize(
    ("signature", "body", "reasons"),
    [
        (
            _X,
            "p = Conv<group = 2>(x, g) q = Conv<group = 2>(x, g) y = Concat<axis = 1>(p, q)",
            ["has a sibling, but 2 groups would interleave"],
        ),
        (_X, "p = Conv(x, w) q = Conv(x, w) y = Concat<axis = 2>(p, q)", []),
        (_X, "p = Conv(x, w) r = Relu(x) q = Conv(r, v) y = Concat<axis = 1>(p, q)", []),
        (
            _X,
            "p = Conv(x, w) q = Conv(x, v) r = Relu(q) s = Concat<axis = 1>(p, q) "
            "y = Concat<axis = 1>(s, r)",
            [],
        ),
        (_X, "p = Conv(x, w) y = Concat<axis = 1>(p, p)", []),
        (_ROWS, "p = MatMul(x, k) q = MatMul(x, k) y = Concat<axis = 1>(p, q)", []),
    ],
)
def test_what_stays(network, applying, signature, body, reasons):
    outcome = _apply(applying, network, signature, body)
    assert not outcome.applied
    assert outcome.refused == reasons
