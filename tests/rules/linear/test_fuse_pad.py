"""Pads go into convolutions and pools, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import FusePad

_X = "(float[1,2,6,6] x) => (float[N,C,H,W] y)"
_ONES = np.int64([0, 0, 1, 1, 0, 0, 1, 1])
_HELD = {
    "ones": _ONES, "uneven": np.int64([0, 0, 0, 2, 0, 0, 1, 0]), "w": (3, 2, 3, 3),
    "zero": np.float32(0), "one": np.float32(1), "low": np.float32(-np.inf),
    "six": np.float32(6), "lowest": np.float32(-3.4028235e38), "v": (3, 2, 1, 1),
}  # fmt: skip
_MAX = "MaxPool<kernel_shape = [3,3], strides = [2,2]>"
_MEAN = "AveragePool<kernel_shape = [3,3]"


def _used(body):
    return {k: v for k, v in _HELD.items() if f", {k})" in body or f", {k}," in body}


def _apply(applying, network, body, signature=_X, opset=18, **more):
    proto = network(signature, body, opset=opset, **(_used(body) | more))
    return applying(proto, FusePad(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_padding_moves_into_the_convolution(network, applying, rank):
    spatial = rank - 2
    pads = np.int64([0, 0, *range(1, spatial + 1), 0, 0, *range(2, spatial + 2)])
    sizes, free = ",".join(["1,2", *["6"] * spatial]), ",".join("NCDHW"[:rank])
    outcome = _apply(
        applying, network, "[pad] p = Pad(x, pads) [conv] y = Conv(p, k)",
        f"(float[{sizes}] x) => (float[{free}] y)", pads=pads, k=(3, 2, *[3] * spatial),
    )  # fmt: skip
    assert outcome.ops == ["Conv"]
    assert outcome.applied == ["folded into 'conv' (Conv)"]


@pytest.mark.parametrize(
    ("body", "pads"),
    [
        ("p = Pad(x, uneven) y = Conv<pads = [1,0,2,1], strides = [2,2]>(p, w)", [1, 2, 3, 1]),
        ("p = Pad(x, ones, zero) y = Conv<auto_pad = \"VALID\">(p, w)", [1, 1, 1, 1]),
        ("p = Pad(x, ones) r = Relu(p) y = Conv(r, w)", [1, 1, 1, 1]),
        ("p = Pad(x, ones) s = Tanh(p) r = Clip(s, zero, six) y = Conv(r, w)", [1, 1, 1, 1]),
        (f"p = Pad(x, ones) y = {_MEAN}>(p)", [1, 1, 1, 1]),
        (f"p = Pad(x, ones) y = {_MEAN}, pads = [1,0,0,1], count_include_pad = 1>(p)",
         [2, 1, 1, 2]),
        (f"p = Pad(x, ones, low) y = {_MAX}(p)", [1, 1, 1, 1]),
        (f"p = Pad(x, uneven, lowest) y = {_MAX}(p)", [0, 2, 1, 0]),
        (f"r = Relu(x) p = Pad(r, ones) y = {_MAX}(p)", [1, 1, 1, 1]),
        (f"r = Sigmoid(x) m = {_MAX}(r) p = Pad(m, ones) y = {_MAX}(p)", [1, 1, 1, 1]),
        (f"r = Clip(x, one, six) p = Pad(r, ones, one) y = {_MAX}(p)", [1, 1, 1, 1]),
    ],
)  # fmt: skip
def test_pads_add_up(network, applying, body, pads):
    outcome = _apply(applying, network, body)
    assert "Pad" not in outcome.ops
    assert outcome.model.nodes[-1].attrs["pads"] == pads


def test_axes_name_what_is_padded(network, applying):
    body = "p = Pad(x, pads, , axes) y = Conv(p, w)"
    axes, pads = np.int64([-1, 2]), np.int64([1, 0, 2, 3])
    outcome = _apply(applying, network, body, axes=axes, pads=pads)
    assert outcome.model.nodes[0].attrs["pads"] == [0, 1, 3, 2]


def test_attributes_of_old_operator_sets(network, applying):
    body = "p = Pad<pads = [0,0,1,1,0,0,1,1]>(x) y = Conv(p, w)"
    assert _apply(applying, network, body, opset=10).ops == ["Conv"]


def test_every_reader_goes_past(network, applying):
    body = "p = Pad(x, ones) a = Conv(p, w) b = Conv<strides = [1,1]>(p, w) y = Add(a, b)"
    assert _apply(applying, network, body).ops == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        ("p = Pad<mode = \"reflect\">(x, ones) y = Conv(p, w)", {},
         "pads by reflect, the convolution after it with zeros"),
        (f"p = Pad<mode = \"edge\">(x, ones) y = {_MAX}(p)", {},
         "pads by edge, the maximum after it with nothing"),
        ("p = Pad(x, ones, one) y = Conv(p, w)", {},
         "pads with a value that is not known to be 0"),
        (f"p = Pad(x, ones, one) y = {_MEAN}>(p)", {},
         "pads with a value that is not known to be 0"),
        ("p = Pad(x, crop) y = Conv(p, w)", {"crop": np.int64([0, 0, -1, 0, 0, 0, 0, 0])},
         "crops"),
        ("p = Pad(x, batch) y = Conv(p, w)", {"batch": np.int64([1, 0, 0, 0, 0, 0, 0, 0])},
         "pads the batch or the channels too"),
        ("p = Pad(x, ones) [c] y = Conv<auto_pad = \"SAME_UPPER\">(p, w)", {},
         "'c' pads by itself to keep the shape"),
        (f"p = Pad(x, ones) [m] y = {_MEAN}, pads = [1,1,1,1]>(p)", {},
         "'m' leaves its own padding out of the mean"),
        (f"p = Pad(x, ones) [m] y = {_MEAN}, ceil_mode = 1, strides = [2,2]>(p)", {},
         "'m' rounds its size up"),
        (f"p = Pad(x, ones) [m] y = {_MAX}(p)", {}, "pads with 0, which may be the maximum"),
        (f"s = LeakyRelu(x) p = Pad(s, ones) y = {_MAX}(p)", {},
         "pads with 0, which may be the maximum"),
        (f"p = Pad(x, wide, low) [m] y = {_MAX}(p)",
         {"wide": np.int64([0, 0, 3, 0, 0, 0, 0, 0])},
         "with its pads, windows of 'm' would hold nothing else"),
        ("p = Pad(x, ones, low) [m] y = MaxPool<kernel_shape = [2,2], dilations = [2,2]>(p)", {},
         "the window of 'm' has gaps"),
    ],
)  # fmt: skip
def test_refusals(network, applying, body, more, reason):
    outcome = _apply(applying, network, body, **more)
    assert outcome.refused == [reason]
    assert "Pad" in outcome.ops


def test_positions_stay(network, applying):
    signature = "(float[1,2,6,6] x) => (float[N,C,H,W] y, int64[N,C,H,W] i)"
    body = "p = Pad(x, ones, low) [m] y, i = MaxPool<kernel_shape = [3,3]>(p)"
    outcome = _apply(applying, network, body, signature)
    assert outcome.refused == ["'m' returns positions too"]


def test_pads_of_run_time(network, applying):
    signature = "(float[1,2,6,6] x, int64[8] widths) => (float[N,C,H,W] y)"
    proto = network(signature, "p = Pad(x, widths) y = Conv(p, w)", w=(3, 2, 3, 3))
    outcome = applying(proto, FusePad(), runs=False)
    assert outcome.refused == ["its pads are computed at run time"]


@pytest.mark.parametrize(
    "body",
    [
        "p = Pad(x, ones) r = Sigmoid(p) y = Conv(r, w)",
        "p = Pad(x, ones) r = Clip(p, one, six) y = Conv(r, w)",
        "p = Pad(x, ones) r = Relu(p) c = Conv(r, w) d = Conv(r, w) y = Add(c, d)",
    ],
)
def test_other_things(network, applying, body):
    outcome = _apply(applying, network, body)
    assert not outcome.applied
    assert not outcome.refused


def test_random_pools(network, applying):
    random, fused = np.random.default_rng(5), 0
    for number in range(24):
        rank = int(random.integers(1, 4))
        kernel, strides = random.integers(2, 5, rank), random.integers(1, 3, rank)
        added = random.integers(0, 2, 2 * rank)
        own = np.minimum(random.integers(0, 2, 2 * rank), np.tile(kernel, 2) - 1)
        pads = np.int64([0, 0, *added[:rank], 0, 0, *added[rank:]])
        kind = ("MaxPool", "AveragePool")[number % 2]
        more = ", count_include_pad = 1" if kind == "AveragePool" and number % 4 < 3 else ""
        value = np.float32(-np.inf if kind == "MaxPool" else 0)
        body = (
            f"p = Pad(x, pads, value) y = {kind}<kernel_shape = {kernel.tolist()}, strides = "
            f"{strides.tolist()}, pads = {own.tolist()}{more}>(p)"
        )
        signature = f"(float[1,2,{','.join(['7'] * rank)}] x) => "
        signature += f"(float[{','.join('NCDHW'[: rank + 2])}] y)"
        outcome = _apply(applying, network, body, signature, pads=pads, value=value)
        fused += "Pad" not in outcome.ops
    assert fused > 12
