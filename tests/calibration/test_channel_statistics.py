"""Statistics of channels against numpy on all values at once."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.calibration.channel_statistics import (
    ChannelStatistics,
    collect_channels,
    merge_channels,
)
from onnxq.errors import DataError, UsageError


def _array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((3, 5, 4, 4), (1,)), ((2, 7, 6), (-1,)), ((2, 3, 5, 4), (1, 3)), ((4, 6), ())],
)
def test_against_numpy(shape, axes):
    array = _array(*shape)
    others = tuple(a for a in range(array.ndim) if a not in {x % array.ndim for x in axes})
    found = ChannelStatistics.of(array, axes)
    np.testing.assert_array_equal(found.minimum, array.min(others, keepdims=True))
    np.testing.assert_array_equal(found.maximum, array.max(others, keepdims=True))
    np.testing.assert_array_equal(found.largest, np.abs(array).max(others, keepdims=True))
    power = np.square(array, dtype=np.float64).mean(others, keepdims=True)
    np.testing.assert_allclose(found.power, power, rtol=1e-6)


def test_merging_is_seeing_everything():
    feeds = [{"x": _array(n, 3, seed=n)} for n in (1, 4, 2)]
    found = collect_channels(lambda feed: dict(feed), feeds, {"x": (1,), "absent": (0,)})
    whole = ChannelStatistics.of(np.concatenate([feed["x"] for feed in feeds]), (1,))
    parts = [collect_channels(lambda feed: dict(feed), [f], {"x": (1,)}) for f in feeds]
    assert found.keys() == {"x"}
    for one in (found, merge_channels(reversed(parts))):
        np.testing.assert_array_equal(one["x"].count, whole.count)
        np.testing.assert_array_equal(one["x"].largest, whole.largest)
        np.testing.assert_allclose(one["x"].power, whole.power, rtol=1e-9)


def test_values_that_own_no_range():
    array = np.float32([[1.0, np.nan], [-3e38, np.inf], [-2.0, -np.inf]])
    found = ChannelStatistics.of(array, (1,))
    assert found.count.tolist() == [[2, 0]]
    assert found.largest.tolist() == [[2.0, 0.0]]
    assert found.power.tolist() == [[2.5, 0.0]]


def test_squares_beyond_float32():
    found = ChannelStatistics.of(np.float32([[1e25, 1.0]]), (1,))
    np.testing.assert_allclose(found.power, [[1e50, 1.0]], rtol=1e-6)


def test_nothing_seen():
    found = ChannelStatistics.of(np.zeros((0, 2), np.float32), (1,))
    assert (found.largest.tolist(), found.power.tolist()) == ([[0.0, 0.0]], [[0.0, 0.0]])
    ids = {"x": np.zeros((2, 3), np.int64)}
    assert collect_channels(lambda feed: dict(feed), [ids], {"x": (1,)}) == {}
    with pytest.raises(DataError, match="no samples to calibrate with"):
        collect_channels(lambda feed: dict(feed), [], {"x": (1,)})


def test_channels_whose_number_changes():
    one, other = (ChannelStatistics.of(_array(2, n), (1,)) for n in (3, 4))
    with pytest.raises(UsageError, match="different channels"):
        one.merge(other)
