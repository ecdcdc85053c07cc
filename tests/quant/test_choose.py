"""Scale and zero point from ranges: formulas, coverage, and extreme ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.errors import DataError, UsageError
from onnxq.quant import (
    PerBlock,
    PerChannel,
    PerTensor,
    QType,
    Scheme,
    choose_qparams,
    dequantize,
    qparams_of,
    quantize,
)

FLOAT32_MAX = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)

bounds = st.floats(allow_nan=False, allow_infinity=False, width=32)
schemes = st.builds(
    Scheme,
    st.builds(QType, st.integers(2, 16), st.booleans()),
    st.just(PerTensor()),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(schemes, bounds, bounds)
def test_any_range_gives_usable_numbers(scheme: Scheme, one: float, other: float) -> None:
    qparams = choose_qparams(scheme, min(one, other), max(one, other))
    scale, zero_point = float(qparams.scale), int(qparams.zero_point)
    assert TINY < scale < np.inf
    assert scheme.minimum <= zero_point <= scheme.maximum
    assert qparams.scale.shape == qparams.zero_point.shape == ()
    zero = dequantize(quantize(0.0, qparams), qparams)
    assert zero == 0
    if scheme.power_of_two:
        assert np.frexp(scale)[0] == 0.5
    lowest = scheme.minimum + int(scheme.symmetric and not scheme.narrow_range)
    ends = np.array([lowest, scheme.maximum], np.int32).astype(scheme.qtype.storage)
    assert np.all(np.isfinite(dequantize(ends, qparams)))


@settings(max_examples=300, deadline=None)
@given(schemes, st.floats(-(2.0**100), 0, width=32), st.floats(0, 2.0**100, width=32))
def test_both_ends_are_within_half_a_step(scheme: Scheme, low: float, high: float) -> None:
    qparams = choose_qparams(scheme, low, high)
    scale = float(qparams.scale)
    ends = np.array([low, high], np.float32)
    restored = dequantize(quantize(ends, qparams), qparams).astype(np.float64)
    # Half a step, and the float32 rounding of scale and product.
    slack = scale * 0.5 + np.abs(ends.astype(np.float64)) * 2e-7
    assert np.all(np.abs(restored - ends) <= slack)


def _choose(scheme: Scheme, low: float, high: float) -> tuple[float, int]:
    qparams = choose_qparams(scheme, low, high)
    return float(qparams.scale), int(qparams.zero_point)


@pytest.mark.parametrize(
    ("scheme", "low", "high", "scale", "zero_point"),
    [
        (Scheme(QType(8, False)), -1.0, 1.55, 0.01, 100),
        (Scheme(QType(8, True)), -1.0, 1.55, 0.01, -28),
        (Scheme(QType(8, False)), 0.0, 2.55, 0.01, 0),
        (Scheme(QType(8, True)), 0.0, 2.55, 0.01, -128),
        (Scheme(QType(8, False)), 1.0, 2.55, 0.01, 0),
        (Scheme(QType(8, False)), -2.55, -1.0, 0.01, 255),
        (Scheme(QType(8, False), narrow_range=True), 0.0, 2.54, 0.01, 1),
        (Scheme(QType(8, True), symmetric=True, narrow_range=True), -2.54, 1.0, 0.02, 0),
        (Scheme(QType(8, True), symmetric=True), -1.0, 1.27, 0.01, 0),
        (Scheme(QType(8, True), symmetric=True), -1.28, 1.0, 0.01, 0),
        (Scheme(QType(8, False), symmetric=True), -1.0, 1.27, 0.01, 128),
        (Scheme(QType(8, False), symmetric=True, narrow_range=True), -1.27, 1.27, 0.01, 128),
        (Scheme(QType(16, False), symmetric=True), -1.0, 327.67, 0.01, 32768),
        (Scheme(QType(4, False), symmetric=True), 0.0, 0.7, 0.1, 8),
        (Scheme(QType(2, True), symmetric=True, narrow_range=True), -3.0, 2.0, 3.0, 0),
        (Scheme(QType(2, True), symmetric=True), -3.0, 1.0, 1.5, 0),
        (Scheme(QType(8, True), symmetric=True, power_of_two=True), -1.0, 1.0, 2**-6, 0),
        (Scheme(QType(8, True), symmetric=True, power_of_two=True), 0.0, 127 / 128, 2**-7, 0),
        (Scheme(QType(8, False), power_of_two=True), -1.0, 1.0, 2**-6, 64),
    ],
)
def test_formulas(scheme: Scheme, low: float, high: float, scale: float, zero_point: int) -> None:
    found_scale, found_zero_point = _choose(scheme, low, high)
    assert found_scale == pytest.approx(scale, rel=1e-6)
    assert found_zero_point == zero_point


def test_a_range_from_zero_has_its_zero_point_at_the_lowest_code() -> None:
    for qtype in (QType(8, True), QType(8, False), QType(16, False), QType(3, True)):
        for high in (1e-3, 1.0, 6.0, 1234.5):
            assert _choose(Scheme(qtype), 0.0, high)[1] == qtype.minimum


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_zero_tensor_has_scale_one(symmetric: bool, bits: int) -> None:
    scheme = Scheme(QType(bits, True), symmetric=symmetric)
    assert _choose(scheme, 0.0, 0.0)[0] == 1.0
    assert qparams_of(scheme, np.zeros((2, 3), np.float32)).scale == 1.0
    assert qparams_of(scheme, np.zeros(0, np.float32)).scale == 1.0


def test_zero_channel_takes_the_largest_scale() -> None:
    scheme = Scheme(QType(8, True), PerChannel(0), symmetric=True, narrow_range=True)
    qparams = choose_qparams(scheme, [-1.27, 0.0, -12.7], [1.27, 0.0, 12.7])
    np.testing.assert_allclose(qparams.scale, [0.01, 0.1, 0.1], rtol=1e-6)


def test_subnormal_range_gets_a_normal_scale() -> None:
    scale, _ = _choose(Scheme(QType(8, True), symmetric=True), -1e-40, 1e-42)
    assert scale == 2 * TINY


def test_the_largest_range_is_covered() -> None:
    for scheme in (Scheme(QType(8, False)), Scheme(QType(8, True), symmetric=True)):
        qparams = choose_qparams(scheme, -FLOAT32_MAX, FLOAT32_MAX)
        ends = np.array([-FLOAT32_MAX, FLOAT32_MAX], np.float32)
        restored = dequantize(quantize(ends, qparams), qparams)
        np.testing.assert_allclose(restored, ends, rtol=0.01)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerChannel(-1), PerChannel(1)])
def test_array_range_per_tensor_and_channel(granularity: PerTensor | PerChannel) -> None:
    array = np.random.default_rng(4).standard_normal((3, 4, 5)).astype(np.float32)
    qparams = qparams_of(Scheme(QType(8, False), granularity), array)
    if isinstance(granularity, PerTensor):
        slices = [array]
    else:
        slices = list(np.moveaxis(array, granularity.axis, 0))
    each = [qparams_of(Scheme(QType(8, False)), part) for part in slices]
    np.testing.assert_array_equal(np.ravel(qparams.scale), [part.scale for part in each])
    np.testing.assert_array_equal(np.ravel(qparams.zero_point), [part.zero_point for part in each])


def test_array_range_per_block_with_a_short_last_block() -> None:
    array = np.random.default_rng(5).standard_normal((2, 7)).astype(np.float32)
    qparams = qparams_of(Scheme(QType(4, False), PerBlock(1, 3)), array)
    assert qparams.scale.shape == (2, 3)
    for row in range(2):
        for block in range(3):
            part = array[row, block * 3 : block * 3 + 3]
            alone = qparams_of(Scheme(QType(4, False)), part)
            assert qparams.scale[row, block] == alone.scale
            assert int(qparams.zero_point[row, block]) == int(alone.zero_point)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_unusable_bounds_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="NaN, infinite or beyond float32"):
        choose_qparams(Scheme(QType(8, True)), *sorted([bad, 0.0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unusable_arrays_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="look for NaN or infinity"):
        qparams_of(Scheme(QType(8, True), PerChannel(0)), np.array([[1, bad], [1, 2]], np.float32))


def test_swapped_bounds_are_refused() -> None:
    with pytest.raises(DataError, match="low bound above its high bound"):
        choose_qparams(Scheme(QType(8, True)), 1.0, 0.5)


@pytest.mark.parametrize(
    ("granularity", "low", "high", "message"),
    [
        (PerTensor(), [0.0], [1.0], r"shape \(1,\) do not fit PerTensor"),
        (PerChannel(0), 0.0, 1.0, r"shape \(\) do not fit PerChannel"),
        (PerBlock(0, 2), 0.0, 1.0, r"shape \(\) do not fit PerBlock"),
        (PerChannel(0), [0.0, 0.0], [1.0], "do not go together"),
    ],
)
def test_bounds_of_the_wrong_shape_are_refused(
    granularity: PerTensor | PerChannel | PerBlock, low: object, high: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        choose_qparams(Scheme(QType(8, True), granularity), np.array(low), np.array(high))


def test_array_without_the_axis_is_refused() -> None:
    with pytest.raises(UsageError, match="axis 2 does not exist"):
        qparams_of(Scheme(QType(8, True), PerChannel(2)), np.zeros((2, 2), np.float32))
