import json
import pickle
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxq.calibration import LARGEST_ORDINARY, TensorStatistics
from onnxq.errors import DataError, UsageError

FLOATS = hnp.arrays(
    np.float32,
    hnp.array_shapes(max_dims=2, max_side=30),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


def observed(arrays, histogram=True):
    statistics = TensorStatistics.empty(histogram=histogram)
    for array in arrays:
        statistics.observe(array)
    return statistics


@settings(max_examples=60, deadline=None)
@given(st.lists(FLOATS, max_size=4), st.booleans())
def test_against_plain_numpy(arrays, histogram):
    statistics = observed(arrays, histogram)
    ordinary = [a[np.abs(a) < LARGEST_ORDINARY] for a in arrays]
    everything = np.concatenate([np.ravel(a) for a in arrays] or [np.empty(0, np.float32)])
    kept = np.concatenate(ordinary or [np.empty(0, np.float32)])
    assert statistics.count == everything.size
    assert statistics.nan == np.isnan(everything).sum()
    assert statistics.infinite == np.isinf(everything).sum()
    assert statistics.huge == np.isfinite(everything).sum() - kept.size
    assert statistics.minimum == kept.min(initial=np.inf)
    assert statistics.maximum == kept.max(initial=-np.inf)
    numbers = everything[~np.isnan(everything)]
    assert statistics.raw_minimum == numbers.min(initial=np.inf)
    assert statistics.raw_maximum == numbers.max(initial=-np.inf)
    if histogram:
        expected = np.bincount(kept.view(np.uint32) >> 16, minlength=1 << 16)
        assert np.array_equal(statistics.histogram.counts, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_moving_average_is_the_exactly_rounded_mean(arrays, random):
    kept = [a[np.abs(a) < LARGEST_ORDINARY] for a in arrays]
    lows = [Fraction(float(a.min())) for a in kept if a.size]
    statistics = observed(arrays, histogram=False)
    assert statistics.samples == len(lows)
    assert statistics.mean_low == (float(sum(lows) / len(lows)) if lows else 0.0)
    random.shuffle(arrays)
    assert observed(arrays, histogram=False) == statistics


@settings(max_examples=40, deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=6), st.randoms(use_true_random=False), st.booleans())
def test_merging_in_any_order_and_grouping_is_bit_identical(arrays, random, histogram):
    parts = [observed([a], histogram) for a in arrays]
    while len(parts) > 1:
        random.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    together = observed(arrays, histogram)
    assert parts[0] == together
    assert json.dumps(parts[0].to_dict()) == json.dumps(together.to_dict())


@settings(max_examples=40, deadline=None)
@given(st.lists(FLOATS, max_size=3), st.booleans())
def test_json_and_pickle_round_trips_are_exact(arrays, histogram):
    statistics = observed(arrays, histogram)
    text = json.dumps(statistics.to_dict(), allow_nan=False)
    assert TensorStatistics.from_dict(json.loads(text)) == statistics
    assert pickle.loads(pickle.dumps(statistics)) == statistics


def test_negative_zero_does_not_depend_on_order():
    zeros = np.array([0.0], np.float32), np.array([-0.0], np.float32)
    one, other = observed(zeros), observed(zeros[::-1])
    assert str(one.to_dict()) == str(other.to_dict())


def test_masks_and_infinities_own_no_range():
    values = np.array([-3.4e38, -2.0, 1.0, np.inf, np.nan], np.float32)
    statistics = observed([values])
    assert (statistics.minimum, statistics.maximum) == (-2.0, 1.0)
    assert statistics.raw_minimum == np.float32(-3.4e38)
    assert statistics.raw_maximum == np.inf
    assert (statistics.nan, statistics.infinite, statistics.huge) == (1, 1, 1)
    assert statistics.non_finite == 2


def test_other_float_types_count_as_float32():
    values = np.linspace(-2, 2, 9)
    expected = observed([values.astype(np.float32)])
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        assert observed([values.astype(dtype)]) == expected
    assert observed([np.array([1e300])]).infinite == 1


def test_any_memory_layout():
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    expected = observed([values])
    assert observed([values.transpose(2, 0, 1)]) == expected
    assert observed([np.repeat(values, 2, axis=1)[:, ::2]]) == expected
    assert observed([np.asarray(values, ">f4")]) == expected


def test_empty_arrays_and_scalars():
    assert observed([np.empty((0, 3), np.float32)]) == TensorStatistics.empty(histogram=True)
    assert observed([np.float32(3.0).reshape(())]).maximum == 3.0


def test_misuse_is_refused():
    with pytest.raises(UsageError, match="int64 has no range"):
        observed([np.arange(3)])
    with pytest.raises(UsageError, match="cannot be merged"):
        TensorStatistics.empty(histogram=True).merge(TensorStatistics.empty(histogram=False))
    with pytest.raises(DataError, match="not calibration statistics"):
        TensorStatistics.from_dict({"count": 1})
