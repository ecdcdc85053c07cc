"""A 1 × 1 convolution beside another convolution goes into it, where that is no dearer."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import MergeConvolutions

_X = "(float[2,4,9,8] x) => (float[N,C,H,W] y)"


def _apply(applying, proto):
    return applying(proto, MergeConvolutions(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("p = Conv(x, w, b) y = Conv(p, v, c)", {"w": (6, 4, 1, 1), "v": (3, 6, 1, 1)}),
        (
            "p = Conv<pads = [1,2,0,1], strides = [2,1]>(x, w, b) y = Conv(p, v)",
            {"w": (6, 4, 3, 3), "v": (3, 6, 1, 1)},
        ),
        (
            "p = Conv<pads = [1,1,1,1]>(x, w, b) y = Conv<strides = [2,2]>(p, v, c)",
            {"w": (6, 4, 3, 3), "v": (3, 6, 1, 1)},
        ),
        ("p = Conv(x, w, b) y = Conv(p, v, c)", {"w": (6, 4, 1, 1), "v": (3, 6, 3, 2)}),
        (
            "p = Conv(x, w) y = Conv<pads = [1,1,1,1], strides = [2,2]>(p, v, c)",
            {"w": (6, 4, 1, 1), "v": (3, 6, 3, 3)},
        ),
        (
            "p = Conv<strides = [2,1]>(x, w, b) y = Conv<dilations = [1,2]>(p, v, c)",
            {"w": (6, 4, 1, 1), "v": (3, 6, 2, 2)},
        ),
        (
            "p = Conv<pads = [1,1,1,1]>(x, w, b) y = Conv<group = 6>(p, v, c)",
            {"w": (6, 4, 3, 3), "v": (6, 1, 1, 1)},
        ),
        (
            "p = Conv<group = 4>(x, w, b) y = Conv(p, v, c)",
            {"w": (4, 1, 1, 1), "b": (4,), "v": (3, 4, 3, 3)},
        ),
        (
            "p = Conv<group = 4, pads = [1,1,1,1]>(x, w, b) y = Conv<group = 4>(p, v)",
            {"w": (4, 1, 3, 3), "b": (4,), "v": (4, 1, 1, 1)},
        ),
        (
            "p = Conv<group = 2>(x, w, b) y = Conv<group = 2>(p, v)",
            {"w": (6, 2, 1, 1), "v": (4, 3, 2, 2)},
        ),
        (
            "p = Conv(x, w, z) y = Conv<pads = [1,1,1,1]>(p, v, c)",
            {"w": (6, 4, 1, 1), "z": np.zeros(6, np.float32), "v": (3, 6, 3, 3)},
        ),
    ],
)
def test_two_become_one(network, applying, body, constants):
    outputs = constants["v"][0]
    given = {"b": (6,), "c": (outputs,)} | constants
    outcome = _apply(applying, network(_X, body, **given))
    assert outcome.ops == ["Conv"]


def test_three_become_one_and_the_last_keeps_its_name(network, applying):
    body = "[a] p = Conv(x, w) [b] q = Conv(p, v) [c] y = Conv(q, u)"
    proto = network(_X, body, w=(6, 4, 1, 1), v=(6, 6, 3, 3), u=(5, 6, 1, 1))
    outcome = _apply(applying, proto)
    assert [node.name for node in outcome.model.nodes] == ["c"]
    assert outcome.applied == [
        "merged into 'b' (Conv) after it",
        "merged into 'c' (Conv) after it",
    ]


@pytest.mark.parametrize(
    ("body", "constants", "reason"),
    [
        (
            "[p] p = Conv(x, w) y = Conv(p, v)",
            {"w": (1, 4, 1, 1), "v": (4, 1, 1, 1)},
            "is not merged with 'p' before it: 16 multiplications per position instead of 8",
        ),
        (
            "[p] p = Conv<group = 4>(x, w) y = Conv(p, v)",
            {"w": (4, 1, 3, 3), "v": (4, 4, 1, 1)},
            "is not merged with 'p' before it: 144 multiplications per position instead of 52",
        ),
        (
            "[p] p = Conv(x, w, b) y = Conv<pads = [1,1,1,1]>(p, v)",
            {"w": (4, 4, 1, 1), "b": (4,), "v": (4, 4, 3, 3)},
            "is not merged with 'p' before it: "
            "the first adds a bias, and the second pads with zeros",
        ),
        (
            "[p] p = Conv<strides = [2,2]>(x, w) y = Conv<pads = [1,1,1,1]>(p, v)",
            {"w": (4, 4, 1, 1), "v": (4, 4, 3, 3)},
            "is not merged with 'p' before it: the first skips positions and the second pads",
        ),
        (
            "[p] p = Conv(x, w) y = Conv(p, w)",
            {"w": (4, 4, 1, 1)},
            "is not merged with 'p' before it: 16 weights instead of 0",
        ),
    ],
)
def test_near_misses(network, applying, body, constants, reason):
    outcome = _apply(applying, network(_X, body, **constants))
    assert outcome.refused == [reason]
    assert not outcome.applied


@pytest.mark.parametrize(
    "body",
    [
        "p = Conv(x, w) r = Relu(p) y = Conv(r, w)",
        "p = Conv<pads = [1,1,1,1]>(x, v) y = Conv(p, v)",
        "p = Conv(x, w) q = Conv(p, w) y = Add(p, q)",
        "p = Conv<pads = [1,1,1,1]>(x, w) y = Conv(p, v)",
    ],
)
def test_other_things(network, applying, body):
    outcome = _apply(applying, network(_X, body, w=(4, 4, 1, 1), v=(4, 4, 3, 3)))
    assert not outcome.applied
    assert not outcome.refused


def test_inner_outputs_stay(network, applying):
    signature = "(float[1,4,5,5] x) => (float[N,C,H,W] p, float[N,C,H,W] y)"
    proto = network(signature, "p = Conv(x, w) y = Conv(p, w)", w=(4, 4, 1, 1))
    assert not _apply(applying, proto).applied


def test_half_precision_is_refused(network, applying):
    signature = "(float16[1,4,5,5] x) => (float16[N,C,H,W] y)"
    half = np.ones((4, 4, 1, 1), np.float16)
    proto = network(signature, "p = Conv(x, w) [y] y = Conv(p, v)", w=half, v=half)
    outcome = applying(proto, MergeConvolutions(), runs=False)
    assert outcome.refused == ["after 'Conv_0' (Conv): the weights are float16"]


def test_random_pairs(network, applying):
    random, merged = np.random.default_rng(3), 0
    for number in range(30):
        rank = int(random.integers(1, 4))
        groups = [int(random.choice([1, 2])) for _ in range(2)]
        parts, constants, tensor, channels = [], {}, "x", 4
        for place, group in enumerate(groups):
            is_point = place == number % 2
            kernel = np.ones(rank, int) if is_point else random.integers(1, 4, rank)
            strides = random.integers(1, 3, rank)
            dilations = random.integers(1, 3, rank)
            pads = [0] * 2 * rank
            if not is_point and random.integers(2):
                pads = random.integers(0, 2, 2 * rank).tolist()
            outputs = 6 if place == 0 else 4
            constants[f"w{place}"] = (outputs, channels // group, *kernel.tolist())
            has_bias = bool(random.integers(2))
            if has_bias:
                constants[f"b{place}"] = (outputs,)
            target = "y" if place else "p"
            parts.append(
                f"{target} = Conv<pads = {pads}, strides = {strides.tolist()}, group = {group}, "
                f"dilations = {dilations.tolist()}>"
                f"({tensor}, w{place}{f', b{place}' if has_bias else ''})"
            )
            tensor, channels = target, outputs
        shape = ",".join(map(str, [2, 4, *[11] * rank]))
        free = ",".join("NCDHW"[: rank + 2])
        signature = f"(float[{shape}] x) => (float[{free}] y)"
        merged += len(_apply(applying, network(signature, " ".join(parts), **constants)).applied)
    assert merged > 8
