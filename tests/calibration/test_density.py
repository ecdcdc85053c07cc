import numpy as np
import pytest

from onnxq.calibration import TensorStatistics
from onnxq.calibration.density import density_of
from onnxq.errors import UsageError


def density(values):
    statistics = TensorStatistics.empty(histogram=True)
    statistics.observe(np.asarray(values, np.float32))
    return density_of(statistics)


def test_intervals_ascend_cover_the_values_and_hold_their_mass():
    values = np.random.default_rng(0).standard_t(2, 5000).astype(np.float32)
    found = density(values)
    assert np.all(found.left <= found.right)
    assert np.all(found.right[:-1] <= found.left[1:])
    assert found.left[0] == values.min()
    assert found.right[-1] == values.max()
    assert found.total == values.size
    for left, right, mass in zip(found.left, found.right, found.mass, strict=True):
        inside = (values >= left) & (values <= right)
        assert inside.sum() >= mass > 0


def test_zeros_are_a_point_and_saturated_values_too():
    values = np.clip(np.random.default_rng(0).normal(size=1000) * 5, 0, 6)
    found = density(values)
    assert (found.left[0], found.right[0]) == (0.0, 0.0)
    assert found.mass[0] == (values <= 0).sum()
    assert (found.left[-1], found.right[-1]) == (6.0, 6.0)
    assert found.mass[-1] == (values >= 6).sum()


@pytest.mark.parametrize("fraction", [0.0, 1e-4, 0.1, 0.37, 0.5, 0.9, 0.9999, 1.0])
def test_quantiles_are_right_to_a_bin(fraction):
    for seed, shift in enumerate((-3.0, 0.0, 0.5)):
        values = np.random.default_rng(seed).normal(shift, 1, 20000).astype(np.float32)
        lower = np.quantile(values, fraction, method="inverted_cdf")
        found = density(values).quantile(fraction)
        assert abs(found - lower) <= max(abs(lower), abs(found)) / 128 + 1e-12


def test_magnitudes():
    values = np.random.default_rng(0).normal(0.3, 1, 20000).astype(np.float32)
    found = density(values).magnitudes()
    assert found.total == values.size
    assert np.all(found.right[:-1] <= found.left[1:])
    assert found.right[-1] == np.abs(values).max()
    for fraction in (0.01, 0.5, 0.99, 1.0):
        expected = np.quantile(np.abs(values), fraction, method="inverted_cdf")
        assert abs(found.quantile(fraction) - expected) <= expected / 128


def test_clipping_moves_mass_to_the_bounds():
    found = density([-3, -1, 0, 2, 9, 9]).clipped(-0.5, 4.0)
    assert found.left[0] == -0.5
    assert found.right[-1] == 4.0
    assert found.total == 6


def test_without_a_histogram_there_is_no_density():
    with pytest.raises(UsageError, match="histogram=True"):
        density_of(TensorStatistics.empty(histogram=False))
    with pytest.raises(UsageError, match="histogram=True"):
        density_of(TensorStatistics.empty(histogram=True))
