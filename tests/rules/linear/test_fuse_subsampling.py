"""Positions that nobody keeps are not computed."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import FuseSubsampling

_X = "(float[2,3,9,8] x) => (float[N,C,H,W] y)"
_HELD = {
    "w": (4, 3, 3, 3), "u": (4, 3, 1, 1), "zeros": np.int64([0, 0]), "ends": np.int64([2**31] * 2),
    "axes": np.int64([2, 3]), "twos": np.int64([2, 2]), "ones": np.int64([1, 1]),
    "back": np.int64([-1, -1]), "minus": np.int64([-1, -1]), "channels": np.int64([1, 2]),
    "wide": np.int64([3, 3]), "zero4": np.int64([0] * 4), "end4": np.int64([99, 4, 99, 99]),
    "step4": np.int64([1, 1, 3, 2]), "axes4": np.int64([0, 1, -2, -1]),
}  # fmt: skip
_SAME = "pads = [1,1,1,1]"


def _apply(applying, network, body, signature=_X, opset=18, **more):
    used = {k: v for k, v in _HELD.items() if f", {k})" in body or f", {k}," in body}
    proto = network(signature, body, opset=opset, **(used | more))
    return applying(proto, FuseSubsampling(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "strides", "pads"),
    [
        (f"p = Conv<{_SAME}>(x, w) y = Slice(p, zeros, ends, axes, twos)", [2, 2], [1, 1, 1, 1]),
        (f"p = Conv<{_SAME}, strides = [2,1]>(x, w) r = Relu(p) t = HardSigmoid(r) "
         "y = Slice(t, zeros, ends, axes, twos)", [4, 2], [1, 1, 1, 1]),
        (f"p = Conv<{_SAME}>(x, w) y = Slice(p, ones, ends, axes)", [1, 1], [0, 0, 1, 1]),
        (f"p = Conv<{_SAME}>(x, w) y = Slice(p, ones, back, axes, twos)", [2, 2], [0, 0, 0, 0]),
        (f"p = Conv<{_SAME}>(x, w) y = Slice(p, zeros, ones, axes)", None, None),
        (f"p = Conv<{_SAME}>(x, w) y = Slice(p, zero4, end4, axes4, step4)",
         [3, 2], [1, 1, 1, 1]),
        ("p = Conv(x, u) y = MaxPool<kernel_shape = [1,1], strides = [2,3]>(p)",
         [2, 3], [0, 0, 0, 0]),
        ("p = Conv(x, u) y = AveragePool<kernel_shape = [1,1], strides = [2,2]>(p)",
         [2, 2], [0, 0, 0, 0]),
        ("p = Conv<auto_pad = \"SAME_UPPER\">(x, w) y = Slice(p, zeros, ends, axes, twos)",
         [2, 2], [1, 1, 1, 1]),
    ],
)  # fmt: skip
def test_the_convolution_skips(network, applying, body, strides, pads):
    outcome = _apply(applying, network, body)
    if strides is None:
        assert outcome.refused[0].endswith("it cuts off more than is padded")
        return
    assert "Slice" not in outcome.ops
    assert not any("Pool" in op for op in outcome.ops)
    assert outcome.model.nodes[0].attrs["strides"] == strides
    assert outcome.model.nodes[0].attrs["pads"] == pads


def test_a_causal_convolution_of_any_length(network, applying):
    signature = "(float[N,3,T] x) => (float[A,B,C] y)"
    body = "p = Conv<pads = [4,4], dilations = [2]>(x, k) y = Slice(p, start, end, axis)"
    held = {"start": [0], "end": [-4], "axis": [2]}
    constants = {name: np.int64(value) for name, value in held.items()}
    proto = network(signature, body, k=(4, 3, 3), **constants)
    for length in (1, 2, 9):
        feed = {"x": np.random.default_rng(0).standard_normal((1, 3, length)).astype(np.float32)}
        outcome = applying(proto, FuseSubsampling(), feed=feed, rtol=1e-4, atol=1e-5)
        assert outcome.model.nodes[0].attrs["pads"] == [4, 0]


@pytest.mark.parametrize(
    ("signature", "body", "reason"),
    [
        (_X, f"p = Conv<{_SAME}>(x, w) y = Slice(p, back, zeros, axes, minus)",
         "it goes backwards"),
        (_X, f"p = Conv<{_SAME}>(x, w) y = Slice(p, zeros, twos, channels)",
         "it cuts the batch or the channels too"),
        (_X, "p = Conv(x, u) y = Slice(p, ones, ends, axes, twos)",
         "it cuts off more than is padded"),
        (_X, "p = Conv(x, u) y = MaxPool<kernel_shape = [1,1], strides = [2,2], ceil_mode = 1>(p)",
         "rounds its size up"),
        ("(float[N,3,H,W] x) => (float[A,B,C,D] y)",
         f"p = Conv<{_SAME}>(x, w) y = Slice(p, zeros, wide, axes)",
         "the size of the axis is free"),
        ("(float[N,3,H,W] x) => (float[A,B,C,D] y)",
         "p = Conv<pads = [0,0,1,1]>(x, w) y = Slice(p, zeros, back, axes)",
         "of a small input nothing would be left"),
    ],
)  # fmt: skip
def test_near_misses(network, applying, signature, body, reason):
    body = body.replace("p = Conv", "[c] p = Conv")
    feed = {"x": np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)}
    used = {k: v for k, v in _HELD.items() if f", {k})" in body or f", {k}," in body}
    outcome = applying(network(signature, body, **used), FuseSubsampling(), feed=feed)
    assert outcome.refused == [f"stays behind 'c' (Conv): {reason}"]


@pytest.mark.parametrize(
    "body",
    [
        f"p = Conv<{_SAME}>(x, w) y = MaxPool<kernel_shape = [2,2]>(p)",
        f"p = Conv<{_SAME}>(x, w) q = Slice(p, zeros, ends, axes, ones) y = Add(p, q)",
        "q = Relu(x) y = Slice(q, zeros, ends, axes, twos)",
    ],
)
def test_other_things(network, applying, body):
    outcome = _apply(applying, network, body)
    assert not outcome.applied
    assert not outcome.refused


def test_the_output_keeps_its_name(network, applying):
    outcome = _apply(
        applying, network, f"p = Conv<{_SAME}>(x, w) y = Slice(p, zeros, ends, axes, twos)"
    )
    assert outcome.model.nodes[0].outputs[0].name == "y"


def test_random_slices(network, applying):
    random, fused = np.random.default_rng(2), 0
    for _ in range(30):
        rank = int(random.integers(1, 3))
        kernel, strides = random.integers(1, 4, rank), random.integers(1, 3, rank)
        pads = random.integers(0, 5, 2 * rank)
        starts, steps = random.integers(0, 3, rank), random.integers(1, 4, rank)
        ends = np.where(random.integers(0, 2, rank), -random.integers(1, 3, rank), 2**31)
        body = (
            f"p = Conv<pads = {pads.tolist()}, strides = {strides.tolist()}>(x, k) "
            "y = Slice(p, s, e, a, t)"
        )
        free = "NCDHW"[: rank + 2]
        signature = f"(float[1,2,{','.join(['11'] * rank)}] x) => (float[{','.join(free)}] y)"
        outcome = _apply(
            applying, network, body, signature, k=(3, 2, *kernel.tolist()), s=starts, e=ends,
            a=np.arange(2, rank + 2), t=steps,
        )  # fmt: skip
        fused += "Slice" not in outcome.ops
    assert fused > 8
