"""Least squares of pruned layers."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.errors import DataError
from onnxq.pruning import PairMoments, best_guess, certain

_RANDOM = np.random.default_rng(0)


def _pairs(count):
    x = (_RANDOM.standard_normal((count, 6)) @ _RANDOM.standard_normal((6, 6)) + 3.0).astype("f4")
    y = x[:, :4] + 0.3 * _RANDOM.standard_normal((count, 4)).astype("f4")
    return x, y


def test_much_evidence_gives_least_squares():
    x, y = _pairs(200_000)
    found = best_guess(PairMoments.of(x, y), np.arange(4), ridge=0.0)
    centred = y - y.mean(0)
    expected = np.linalg.lstsq(centred, x - x.mean(0), rcond=None)[0].T
    # What little doubt is left at 200,000 vectors shows in the fourth digit.
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=2e-3)


def test_little_evidence_leaves_weights_as_they_were():
    x, y = _pairs(2)
    found = best_guess(PairMoments.of(x, y), np.array([0, 1, 2, 3]), ridge=0.999)
    expected = np.eye(6)[:, :4]
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_a_doubled_channel_is_made_up_for():
    x = _RANDOM.standard_normal((100_000, 3)).astype("f4")
    x[:, 2] = x[:, 0]
    found = best_guess(PairMoments.of(x, x[:, :2]), np.array([0, 1]), ridge=0.0)
    np.testing.assert_allclose(found, [[1, 0], [0, 1], [1, 0]], atol=1e-3)


def test_parts_merge_to_the_whole():
    x, y = _pairs(600)
    whole = PairMoments.of(x, y)
    merged = PairMoments.of(x[:250], y[:250]).merge(PairMoments.of(x[250:], y[250:]))
    assert merged.count == whole.count
    for name in ("before", "now", "cross", "second"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-4)


def test_silent_channels_divide_nothing_by_zero():
    x = np.zeros((50, 3), np.float32)
    assert np.isfinite(best_guess(PairMoments.of(x, x[:, :2]), np.arange(2), ridge=0.0)).all()


def test_nothing_seen_is_an_error():
    empty = PairMoments.of(np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32))
    with pytest.raises(DataError, match="at least one sample"):
        best_guess(empty, np.arange(2), ridge=0.0)


def test_few_vectors_make_a_covariance_less_certain_of_its_correlations():
    sharp = np.array([[2.0, 1.9], [1.9, 2.0]])
    loose = certain(sharp, 2)
    np.testing.assert_allclose(loose[0, 1], 0.95)
    np.testing.assert_allclose(np.diagonal(loose), [2.0, 2.0], rtol=1e-5)
    np.testing.assert_allclose(certain(sharp, 10**6), sharp, rtol=2e-3)
