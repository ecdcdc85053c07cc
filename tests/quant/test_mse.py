"""The search for scales of least squared error, against an exhaustive search in plain numpy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from onnxq.errors import DataError
from onnxq.quant import (
    Granularity,
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QType,
    Scheme,
    choose_qparams,
    dequantize,
    mse_qparams,
    qparams_of,
    quantize,
)

GRANULARITIES = [PerTensor(), PerChannel(0), PerChannel(1), PerBlock(0, 4), PerBlock(1, 5)]


def error_of(array: np.ndarray, qparams: QParams) -> float:
    restored = dequantize(quantize(array, qparams), qparams)
    return float(np.sum((restored.astype(np.float64) - array) ** 2))


def heavy_tailed(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(3, shape).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_finds_the_best_of_the_grid(bits: int, symmetric: bool) -> None:
    scheme = Scheme(QType(bits, True), symmetric=symmetric, narrow_range=symmetric)
    array = heavy_tailed((40, 10))
    low, high = float(array.min()), float(array.max())
    candidates = [
        choose_qparams(scheme, low * factor, high * factor) for factor in np.geomspace(1.0, 0.2, 64)
    ]
    best = min(error_of(array, candidate) for candidate in candidates)
    assert error_of(array, mse_qparams(scheme, array)) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=str)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("power_of_two", [True, False])
def test_never_worse_than_the_full_range(
    granularity: Granularity, bits: int, power_of_two: bool
) -> None:
    scheme = Scheme(
        QType(bits, True), granularity, symmetric=True, narrow_range=True, power_of_two=power_of_two
    )
    array = heavy_tailed((12, 15), seed=1)
    found, plain = mse_qparams(scheme, array), qparams_of(scheme, array)
    assert found.scale.shape == plain.scale.shape
    assert error_of(array, found) <= error_of(array, plain) * (1 + 1e-6)
    if power_of_two:
        assert np.all(np.frexp(found.scale)[0] == 0.5)


def test_four_bits_gain_on_heavy_tails() -> None:
    scheme = Scheme(QType(4, True), PerChannel(0), symmetric=True, narrow_range=True)
    array = heavy_tailed((8, 4000), seed=2)
    gain = error_of(array, qparams_of(scheme, array)) / error_of(array, mse_qparams(scheme, array))
    assert gain > 2


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_channels_are_searched_independently(axis: int) -> None:
    array = heavy_tailed((3, 4, 50), seed=3)
    qtype = QType(4, True)
    together = mse_qparams(Scheme(qtype, PerChannel(axis), symmetric=True), array)
    alone = [
        mse_qparams(Scheme(qtype, symmetric=True), part).scale
        for part in np.moveaxis(array, axis, 0)
    ]
    np.testing.assert_array_equal(together.scale, alone)


@pytest.mark.parametrize(("axis", "size"), [(0, 4), (1, 4), (1, 16)])
def test_blocks_are_searched_independently(axis: int, size: int) -> None:
    array = heavy_tailed((6, 10), seed=4)
    qtype = QType(4, False)
    together = mse_qparams(Scheme(qtype, PerBlock(axis, size)), array)
    lines = array if axis == 1 else array.T
    for line, scales in zip(lines, together.scale if axis == 1 else together.scale.T, strict=True):
        for index, scale in enumerate(scales):
            part = line[index * size : (index + 1) * size]
            assert scale == mse_qparams(Scheme(qtype), part).scale


def test_arrays_larger_than_a_tile() -> None:
    scheme = Scheme(QType(3, True), symmetric=True)
    array = heavy_tailed((300_000,), seed=5)
    found = error_of(array, mse_qparams(scheme, array))
    bound = float(np.abs(array).max())
    candidates = [choose_qparams(scheme, -bound * f, bound * f) for f in (0.2, 0.3, 0.5, 1.0)]
    assert all(found <= error_of(array, candidate) * (1 + 1e-3) for candidate in candidates)


def test_zero_channels_keep_a_harmless_scale() -> None:
    array = heavy_tailed((3, 20), seed=6)
    array[1] = 0
    scheme = Scheme(QType(8, True), PerChannel(0), symmetric=True)
    found = mse_qparams(scheme, array)
    assert found.scale[1] == qparams_of(scheme, array).scale[1]
    assert mse_qparams(scheme, np.zeros((2, 0), np.float32)).scale.shape == (2,)


def test_huge_weights_give_no_warning() -> None:
    array = np.array([[3e38, -3e38, 1e30], [1e-40, 1e-38, 0]], np.float32)
    found = mse_qparams(Scheme(QType(8, True), PerChannel(0)), array)
    assert np.all(np.isfinite(found.scale))


def test_nan_is_refused() -> None:
    with pytest.raises(DataError, match="look for NaN"):
        mse_qparams(Scheme(QType(8, True)), np.array([1, np.nan], np.float32))


def test_memory_does_not_grow_with_the_grid() -> None:
    array = heavy_tailed((512, 1000), seed=7)
    scheme = Scheme(QType(4, True), PerChannel(1), symmetric=True)
    tracemalloc.start()
    mse_qparams(scheme, array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * array.nbytes
