"""Zeros of a sparse weight stay zero, however its other weights are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.quant import (
    Learning,
    PerBlock,
    PerChannel,
    PerTensor,
    Products,
    QType,
    Scheme,
    learn_codes,
    qparams_of,
)

LAYOUTS = [
    (Products(), (80, 12), PerTensor()),
    (Products(), (80, 12), PerBlock(0, 32)),
    (Products(sums_first=True), (12, 8, 3, 3), PerChannel(0)),
    (Products(sums_first=True, groups=3), (12, 4, 3, 3), PerChannel(0)),
]
LEARNINGS = [Learning(), Learning(damping=0.1, refits=0, search_scales=False)]


def _layer(products, shape):
    generator = np.random.default_rng(0)
    weight = generator.standard_normal(shape).astype(np.float32)
    weight[generator.random(shape) < 0.5] = 0.0
    groups, terms, _ = products.matrices(weight).shape
    inputs = generator.standard_normal((groups, 300, terms)) @ generator.standard_normal(
        (groups, terms, terms)
    )
    return weight, inputs.swapaxes(1, 2) @ inputs


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("learning", LEARNINGS)
@pytest.mark.parametrize(("products", "shape", "granularity"), LAYOUTS)
def test_held_zeros_stay(products, shape, granularity, learning, bits, symmetric):
    weight, moment = _layer(products, shape)
    scheme = Scheme(QType(bits, signed=True), symmetric=symmetric, granularity=granularity)
    given = scheme, qparams_of(scheme, weight)
    held = learn_codes(weight, given[1], products, moment, learning, weight == 0)
    assert not held.codes.floats()[weight == 0].any()
    assert held.codes.floats()[weight != 0].any()
    assert held.error < held.nearest


@pytest.mark.parametrize(("products", "shape", "granularity"), LAYOUTS)
def test_others_would_not(products, shape, granularity):
    weight, moment = _layer(products, shape)
    scheme = Scheme(QType(8, signed=True), symmetric=True, granularity=granularity)
    free = learn_codes(weight, qparams_of(scheme, weight), products, moment)
    assert free.codes.floats()[weight == 0].any()
