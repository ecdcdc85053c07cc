"""Parallel convolutions of one input are one convolution."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import SumParallelConvolutions

_X = "(float[2,4,7,6] x) => (float[N,C,H,W] y)"
_SAME = "pads = [1,1,1,1]"


def _apply(applying, proto):
    return applying(proto, SumParallelConvolutions(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "constants", "left"),
    [
        (
            f"[a] p = Conv<{_SAME}>(x, w, b) [c] q = Conv(x, v) y = Add(p, q)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 1, 1), "b": (4,)},
            ["Conv"],
        ),
        (
            f"[c] q = Conv(x, v, b) [a] p = Conv<{_SAME}>(x, w, c) y = Sum(q, p)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 1, 1), "b": (4,), "c": (4,)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}>(x, w) q = Conv<pads = [1,0,1,0]>(x, v) "
            "r = Conv<pads = [0,1,0,1]>(x, u) s = Add(q, r) y = Add(p, s)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 3, 1), "u": (4, 4, 1, 3)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}>(x, w) q = Conv<{_SAME}>(x, v) s = Add(p, x) y = Sum(s, q, x, x)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 3, 3)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}, group = 4>(x, w) r = Relu(x) s = Add(p, r) y = Add(s, x)",
            {"w": (4, 1, 3, 3)},
            ["Conv", "Relu", "Add"],
        ),
        (
            "p = Conv<pads = [2,2,2,2], dilations = [2,2]>(x, w) y = Add(p, x)",
            {"w": (4, 4, 3, 3)},
            ["Conv"],
        ),
        (
            "p = Conv<pads = [3,3,3,3]>(x, w) q = Conv<pads = [2,2,2,2], dilations = [2,2]>(x, v)"
            "y = Add(p, q)",
            {"w": (4, 4, 7, 7), "v": (4, 4, 3, 3)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}>(x, w) q = Conv<{_SAME}, group = 4>(x, v) "
            f"r = Conv<{_SAME}, group = 2>(x, u) s = Add(p, q) y = Add(s, r)",
            {"w": (4, 4, 3, 3), "v": (4, 1, 3, 3), "u": (4, 2, 3, 3)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}, group = 2>(x, w) "
            f"q = AveragePool<kernel_shape = [3,3], count_include_pad = 1, {_SAME}>(x) "
            "y = Add(p, q)",
            {"w": (4, 2, 3, 3)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}>(x, w, b) n = BatchNormalization(x, g, b, m, v) y = Add(n, p)",
            {"w": (4, 4, 3, 3), "g": (4,), "b": (4,), "m": (4,), "v": np.float32([1, 2, 3, 4])},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}>(x, w) h = Mul(half, x) y = Add(h, p)",
            {"w": (4, 4, 3, 3), "half": np.float32(0.5)},
            ["Conv"],
        ),
        (
            f"p = Conv<{_SAME}, group = 4>(x, w) "
            "a = AveragePool<kernel_shape = [3,1], count_include_pad = 1, pads = [1,0,1,0]>(x) "
            "h = Mul(a, c) y = Add(h, p)",
            {"w": (4, 1, 3, 3), "c": (1, 4, 1, 1)},
            ["Conv"],
        ),
        (
            'p = Conv<auto_pad = "SAME_UPPER", strides = [2,2]>(x, w) '
            "q = Conv<strides = [2,2]>(x, v) y = Add(p, q)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 1, 1)},
            ["Conv"],
        ),
    ],
)
def test_branches_become_one(network, applying, body, constants, left):
    outcome = _apply(applying, network(_X, body, **constants))
    assert sorted(outcome.ops) == sorted(left)
    assert not outcome.refused


def test_the_wider_convolution_stays(network, applying):
    body = f"[c] q = Conv(x, v) [a] p = Conv<{_SAME}>(x, w) [s] y = Add(q, p)"
    outcome = _apply(applying, network(_X, body, w=(4, 4, 3, 3), v=(4, 4, 1, 1)))
    assert outcome.applied == ["took in 'c' (Conv) beside it"]
    assert [node.name for node in outcome.model.nodes] == ["a"]


def test_a_shared_weight_is_left_as_it_is(network, applying):
    body = f"p = Conv<{_SAME}>(x, w) t = Add(p, x) r = Relu(t) q = Conv<{_SAME}>(r, w) y = Relu(q)"
    outcome = _apply(applying, network(_X, body, w=(4, 4, 3, 3)))
    assert outcome.ops == ["Conv", "Relu", "Conv", "Relu"]


@pytest.mark.parametrize(
    ("body", "constants", "reason"),
    [
        (
            "p = Conv<pads = [0,1,0,1]>(x, w) q = Conv<pads = [1,0,1,0]>(x, v) y = Add(p, q)",
            {"w": (4, 4, 1, 3), "v": (4, 4, 3, 1)},
            "is not merged with 'q' (Conv): 144 multiplications per position instead of 96",
        ),
        (
            f"p = Conv<{_SAME}>(x, w) q = Conv<pads = [1,1,1,1], strides = [7,7]>(x, v) "
            "y = Add(p, q)",
            {"w": (4, 4, 3, 3), "v": (4, 4, 6, 6)},
            None,
        ),
        (
            f"p = Conv<{_SAME}>(x, w) q = Conv(x, v) y = Add(p, q)",
            {"w": (4, 4, 3, 3), "v": (1, 4, 1, 1)},
            "is not merged with 'q' (Conv): 4 channels beside 1",
        ),
        (
            f"p = Conv<{_SAME}, group = 4>(x, w) q = Conv(x, v) y = Add(p, q)",
            {"w": (4, 1, 3, 3), "v": (4, 4, 1, 1)},
            "is not merged with 'q' (Conv): 144 multiplications per position instead of 52",
        ),
    ],
)
def test_near_misses(network, applying, body, constants, reason):
    body = body.replace("q = Conv", "[q] q = Conv").replace("p = Conv", "[p] p = Conv")
    outcome = _apply(applying, network(_X, body, **constants))
    assert not outcome.applied
    if reason is not None:
        assert outcome.refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        f"p = Conv<{_SAME}>(x, w) r = Relu(x) q = Conv(r, v) y = Add(p, q)",
        f"p = Conv<{_SAME}>(x, w) r = Relu(x) y = Add(p, r)",
        f"r = Relu(x) p = Conv<{_SAME}>(r, w) y = Add(p, x)",
        f"p = Conv<{_SAME}>(x, w) n = Relu(p) s = Add(p, x) y = Add(s, n)",
        f"p = Conv<{_SAME}>(x, w) q = AveragePool<kernel_shape = [3,3], {_SAME}>(x) y = Add(p, q)",
        f"p = Conv<{_SAME}>(x, w) h = Mul(x, map) y = Add(p, h)",
    ],
)
def test_other_things(network, applying, body):
    constants = {"w": (4, 4, 3, 3), "v": (4, 4, 1, 1), "map": (1, 1, 7, 6)}
    outcome = _apply(applying, network(_X, body, **constants))
    assert not outcome.applied
    assert not outcome.refused


def test_outputs_inside_stay(network, applying):
    signature = "(float[1,4,5,5] x) => (float[N,C,H,W] p, float[N,C,H,W] y)"
    body = f"p = Conv<{_SAME}>(x, w) y = Add(p, x)"
    assert not _apply(applying, network(signature, body, w=(4, 4, 3, 3))).applied


def test_an_overridable_weight_is_left(network, applying):
    signature = "(float[2,4,7,6] x, float[4,4,1,1] v) => (float[N,C,H,W] y)"
    body = f"[a] p = Conv<{_SAME}>(x, w) [c] q = Conv(x, v) y = Add(p, q)"
    outcome = _apply(applying, network(signature, body, w=(4, 4, 3, 3)))
    assert outcome.refused == ["beside it, 'v' is computed or may be overridden at run time"]


def test_free_sizes(network, applying):
    signature = "(float[N,4,H,W] x) => (float[N,C,H,W] y)"
    body = (
        "p = Conv<pads = [1,1,1,1], strides = [2,2]>(x, w) q = Conv<strides = [2,2]>(x, v) "
        "y = Add(p, q)"
    )
    proto = network(signature, body, w=(4, 4, 3, 3), v=(4, 4, 1, 1))
    feed = {"x": np.random.default_rng(1).standard_normal((1, 4, 8, 5)).astype(np.float32)}
    outcome = applying(proto, SumParallelConvolutions(), feed=feed, rtol=1e-4, atol=1e-5)
    assert outcome.ops == ["Conv"]


def test_random_pairs(network, applying):
    """Any two convolutions of one input that the engine adds: parity, whether merged or not."""
    random, merged = np.random.default_rng(7), 0
    for _ in range(40):
        rank = int(random.integers(1, 4))
        parts, constants = [], {}
        groups = [int(random.choice([1, 2, 4])) for _ in range(2)]
        strides = [int(v) for v in random.integers(1, 3, rank)]
        sizes = [int(v) for v in random.integers(7, 10, rank)]
        for name, group in zip("pq", groups, strict=True):
            kernel = random.integers(1, 4, rank)
            dilations = random.integers(1, 3, rank)
            reach = (kernel - 1) * dilations
            begins = random.integers(0, reach + 1)
            pads = [*begins.tolist(), *(reach - begins).tolist()]
            constants[f"w{name}"] = (4, 4 // group, *kernel.tolist())
            constants[f"b{name}"] = (4,)
            parts.append(
                f"{name} = Conv<pads = {pads}, strides = {strides}, group = {group}, "
                f"dilations = {dilations.tolist()}>(x, w{name}, b{name})"
            )
        shape = ",".join(map(str, [2, 4, *sizes]))
        free = ",".join("NCDHW"[: rank + 2])
        signature = f"(float[{shape}] x) => (float[{free}] y)"
        proto = network(signature, " ".join([*parts, "y = Add(p, q)"]), **constants)
        merged += len(_apply(applying, proto).applied)
    assert merged > 8
