"""HQQ: scales and zero points from the weights alone."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.quant import (
    Codes,
    PerBlock,
    PerChannel,
    PerTensor,
    QType,
    Scheme,
    hqq_qparams,
    qparams_of,
)


def norms(weight: np.ndarray, codes: Codes, power: float, axis: int) -> np.ndarray:
    return np.sum(np.abs(weight - codes.floats()) ** power, axis=axis)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(0, 32)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_never_worse_than_where_it_started(granularity, symmetric, bits) -> None:
    weight = np.random.default_rng(0).standard_t(4, (96, 20)).astype(np.float32) * 0.02
    scheme = Scheme(QType(bits, symmetric), granularity, symmetric)
    given = qparams_of(scheme, weight)
    found = hqq_qparams(weight, given)
    assert found.scheme == scheme
    assert found.scale.shape == given.scale.shape
    before, after = (Codes.nearest(weight, p) for p in (given, found))
    axis = 0 if isinstance(granularity, PerChannel) else None
    assert np.all(norms(weight, after, 0.7, axis) <= norms(weight, before, 0.7, axis) * (1 + 1e-6))
    if bits < 8:
        assert norms(weight, after, 0.7, None) < 0.99 * norms(weight, before, 0.7, None)
    if symmetric:
        np.testing.assert_array_equal(found.zero_point, given.zero_point)


def test_zeros_and_powers_of_two_stay_as_they_are() -> None:
    scheme = Scheme(QType(4, False), PerChannel(1))
    given = qparams_of(scheme, np.zeros((8, 3), np.float32))
    assert hqq_qparams(np.zeros((8, 3), np.float32), given) == given
    weight = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    power = qparams_of(Scheme(QType(4, True), PerChannel(1), True, power_of_two=True), weight)
    assert hqq_qparams(weight, power) is power
