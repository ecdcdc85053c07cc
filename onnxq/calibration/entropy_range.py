"""The clipping threshold that loses the least information (Migacz, GTC 2017, S7310).

For a threshold T over a histogram of magnitudes, P is the histogram up to T with everything
beyond added to its last bin. Q is the same histogram without what lies beyond, merged to as
many levels as the number format has and spread again evenly over the bins of each level that
are not empty. T is the threshold with the least divergence KL(P, Q) = sum P log(P / Q), both
normalised to one.

Differences from the usual form: values that are exactly zero are left out, for every format
represents them without error and after a Relu they would outweigh all others. And when the
threshold lies in the lowest part of the linear histogram, the search is repeated with a finer
histogram below it, so that an outlier cannot use up the resolution.

With B the sum over the bins of a level and n the number of those not empty, every bin of that
level has Q = B / n, so that sum P log Q needs one term per level: all thresholds are computed
at once from cumulative sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.density import Density

Float64 = NDArray[np.float64]

_BINS_PER_LEVEL = 16
_FEWEST_BINS, _MOST_BINS = 1 << 11, 1 << 14
_MOST_THRESHOLDS = 512
# A threshold in this part of the histogram is searched again with finer bins.
_COARSE = 8
_MOST_ZOOMS = 24

# What Q gives to a bin where it has nothing, as a part of what P has there.
_SMOOTHING = 1e-4


def entropy_threshold(magnitudes: Density, levels: int) -> float:
    """The threshold with the least divergence.

    Args:
        magnitudes: Absolute values.
        levels: How many codes there are for magnitudes: 128 for signed and 256 for unsigned
            8-bit types.

    Returns:
        The threshold, at most the largest value. It is that for zeros only and for formats of
        so many levels (above 1024) that a histogram cannot tell them apart.
    """
    some = magnitudes.right > 0
    density = Density(magnitudes.left[some], magnitudes.right[some], magnitudes.mass[some])
    largest = float(magnitudes.right[-1])
    bins = max(levels * _BINS_PER_LEVEL, _FEWEST_BINS)
    if not density.mass.size or bins > _MOST_BINS:
        return largest
    limit = largest
    for _ in range(_MOST_ZOOMS):
        last = _best_bin(_linear_counts(density, limit, bins), density.total, levels)
        if last > bins // _COARSE:
            return limit * last / bins
        limit *= last / bins
    return limit


def _linear_counts(density: Density, limit: float, bins: int) -> Float64:
    """Mass in equal bins from 0 to limit; what lies beyond is left out."""
    edges = np.linspace(0.0, limit, bins + 1)
    places = np.stack([density.left, density.right], axis=1).reshape(-1)
    upper = np.cumsum(density.mass)
    below = np.stack([upper - density.mass, upper], axis=1).reshape(-1)
    return np.diff(np.interp(edges, places, below, left=0.0))


def _best_bin(counts: Float64, total: float, levels: int) -> int:
    """How many bins the best threshold keeps; among equals the most."""
    lasts = np.unique(np.linspace(counts.size, levels, _MOST_THRESHOLDS).astype(np.intp))[::-1]
    return int(lasts[np.argmin(_divergences(counts, total, levels, lasts))])


def _divergences(counts: Float64, total: float, levels: int, lasts: NDArray[np.intp]) -> Float64:
    """KL(P, Q) for thresholds that keep the first so many bins, 1-D like lasts."""
    inside = _running_sum(counts)
    kept = inside[lasts]
    beyond = np.maximum(total - kept, 0.0)
    edge = counts[lasts - 1]
    p_log_p = _running_sum(_times_log(counts))[lasts] - _times_log(edge)
    p_log_p += _times_log(edge + beyond)

    bounds = np.arange(levels + 1) * lasts[:, None] // levels
    in_level = np.diff(inside[bounds], axis=1)
    filled = np.diff(_running_sum(counts > 0)[bounds], axis=1)
    filled[:, -1] += (edge == 0) & (beyond > 0)
    share = in_level / np.maximum(filled * kept[:, None], np.finfo(float).tiny)
    in_level[:, -1] += beyond
    share = np.where(share > 0, share, _SMOOTHING * in_level / total)
    log_q = np.log(np.where(share > 0, share, 1.0))
    divergence = (p_log_p - np.sum(in_level * log_q, axis=1)) / total - np.log(total)
    return np.where(kept > 0, divergence, np.inf)


def _running_sum(values: NDArray[np.generic]) -> Float64:
    """Sums of the first 0, 1, 2, ... values."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _times_log(values: Float64) -> Float64:
    """X log x, 0 at 0."""
    return values * np.log(np.where(values > 0, values, 1.0))
