"""Means are taken before 1 × 1 convolutions and linear layers."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import MeanBeforeLinear, PoolBeforePointwise

_X = "(float[2,4,6,6] x) => (float[N,C,H,W] y)"
_CONVS = {"w": (7, 4, 1, 1), "g": (8, 2, 1, 1), "b": (7,), "big": (7, 4, 3, 3),
          "spatial": np.int64([-1, 2]), "channels": np.int64([1, 2, 3])}  # fmt: skip
_POOL = "AveragePool<kernel_shape = [2,2], strides = [2,2]"


def _used(held, body):
    return {k: v for k, v in held.items() if f", {k})" in body or f", {k}," in body}


def _pooled(applying, network, body, opset=18):
    proto = network(_X, body, opset=opset, **_used(_CONVS, body))
    return applying(proto, PoolBeforePointwise(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("p = Conv(x, w, b) y = GlobalAveragePool(p)", 18),
        ("p = Conv<group = 2>(x, g) q = GlobalAveragePool(p) y = Relu(q)", 18),
        ("p = Conv(x, w, b) y = ReduceMean(p, spatial)", 18),
        ("p = Conv(x, w, b) y = ReduceMean<axes = [2,3]>(p)", 13),
        (f"p = Conv(x, w, b) y = {_POOL}>(p)", 18),
        (f"p = Conv(x, w, b) y = {_POOL}, pads = [1,1,0,1]>(p)", 18),
        (f"p = Conv(x, w) y = {_POOL}, pads = [1,1,0,1], count_include_pad = 1>(p)", 18),
    ],
)
def test_the_mean_comes_first(network, applying, body, opset):
    outcome = _pooled(applying, network, body, opset)
    assert outcome.ops[1] == "Conv"
    assert len(outcome.applied) == 1


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (f"p = Conv(x, w, b) y = {_POOL}, pads = [1,1,0,1], count_include_pad = 1>(p)",
         ["it counts its padding, where there is no bias"]),
        (f"p = Conv(x, w, b) y = {_POOL}, ceil_mode = 1>(p)", ["it rounds its size up"]),
        ("p = Conv<strides = [2,2]>(x, w) y = GlobalAveragePool(p)",
         ["the convolution pads or skips positions"]),
        ("p = Conv(x, w) y = AveragePool<kernel_shape = [2,2]>(p)", []),
        ("p = Conv(x, w) y = ReduceMean(p, channels)", []),
        ("p = Conv(x, big) y = GlobalAveragePool(p)", []),
        ("p = Conv(x, w) q = GlobalAveragePool(p) y = Mul(p, q)", []),
        ("p = Conv(x, w) r = Relu(p) y = GlobalAveragePool(r)", []),
    ],
)  # fmt: skip
def test_what_stays(network, applying, body, reasons):
    outcome = _pooled(applying, network, body.replace("p = Conv", "[c] p = Conv"))
    assert not outcome.applied
    assert outcome.refused == [f"stays behind 'c' (Conv): {reason}" for reason in reasons]


_ROWS = {"w": (4, 5), "b": (5,), "row": (1, 1, 5), "one": np.int64([1]), "table": (3, 5),
         "last": np.int64([-1]), "two": np.int64([0, 1])}  # fmt: skip


def _means(applying, network, body, output="y", opset=18):
    signature = f"(float[2,3,4] x) => (float[{output}] y)"
    proto = network(signature, body, opset=opset, **_used(_ROWS, body))
    return applying(proto, MeanBeforeLinear(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "output", "opset"),
    [
        ("p = MatMul(x, w) y = ReduceMean(p, one)", "A,B,C", 18),
        ("p = MatMul(x, w) y = ReduceMean<keepdims = 0>(p, one)", "A,B", 18),
        ("p = MatMul(x, w) q = Add(p, b) y = ReduceMean<keepdims = 0>(q, one)", "A,B", 18),
        ("p = MatMul(x, w) q = Add(p, row) y = ReduceMean<keepdims = 0>(q, one)", "A,B", 18),
        ("p = MatMul(x, w) q = Add(p, row) y = ReduceMean<keepdims = 0, axes = [0,1]>(q)", "A", 13),
        ("p = MatMul(x, w) q = Add(p, b) y = ReduceMean(q, two)", "A,B,C", 18),
    ],
)
def test_the_mean_of_rows_comes_first(network, applying, body, output, opset):
    outcome = _means(applying, network, body, output, opset)
    assert outcome.ops[:2] == ["ReduceMean", "MatMul"]


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("p = MatMul(x, w) y = ReduceMean(p, last)", ["takes the mean over axes [2] of 3"]),
        ("p = MatMul(x, w) y = ReduceMean(p)", ["takes the mean over axes [0, 1, 2] of 3"]),
        ("p = MatMul(x, w) q = Add(p, table) y = ReduceMean(q, one)", []),
        ("p = MatMul(x, w) r = Relu(p) y = ReduceMean(r, one)", []),
        ("p = MatMul(x, w) m = ReduceMean(p, one) y = Sub(p, m)", []),
    ],
)
def test_rows_that_stay(network, applying, body, reasons):
    outcome = _means(applying, network, body, "A,B,C")
    assert not outcome.applied
    assert outcome.refused == reasons
