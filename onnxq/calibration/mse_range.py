"""The range with the smallest expected squared error.

Searches ranges [low, high] within the values' own for the least error of quantize and
dequantize under the histogram (Nagel et al. 2021, arXiv:2106.08295, section 3.1). A grid comes
first, geometric because errors depend on ratios, and is then refined around its best point.

What bounds the search: clipping alone at a range end must not cost more than the whole range
costs in all. Whatever is excluded by that is provably worse than not clipping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.density import Density
from onnxq.calibration.rounding_error import quantizers, squared_errors
from onnxq.quant import Scheme

Float64 = NDArray[np.float64]

_ToRange: TypeAlias = Callable[..., tuple[Float64, Float64]]

# How often a limit is tried per round, by the number of limits.
_GRIDS = {1: (65, 33, 33), 2: (17, 9, 9)}

_CLIP_TRIALS = 97
_SMALLEST_RATIO = 2.0**-12


def mse_range(density: Density, scheme: Scheme) -> tuple[float, float]:
    """The range of least expected squared error, within that of the values and zero.

    Args:
        density: The values; not all zero.
        scheme: The number format.

    Returns:
        Low (at most 0) and high (at least 0).
    """
    low, high = min(float(density.left[0]), 0.0), max(float(density.right[-1]), 0.0)
    full = squared_errors(density, quantizers(scheme, [low], [high]))[0]
    if scheme.symmetric or low == 0.0 or high == 0.0:
        limits = _useful_limits(density.magnitudes(), max(-low, high), full)
        return _search(density, scheme, [limits], _limited_to(low, high))
    both = [_useful_limits(_negated(density), -low, full), _useful_limits(density, high, full)]
    return _search(density, scheme, both, lambda t, u: (-t, u))


def _limited_to(low: float, high: float) -> _ToRange:
    """One limit for both sides, as far as there are values."""
    return lambda limit: (np.maximum(-limit, low), np.minimum(limit, high))


def _useful_limits(density: Density, largest: float, budget: float) -> tuple[float, float]:
    """The limits at the upper end that are worth trying: smallest and largest."""
    trials = largest * np.geomspace(1.0, _SMALLEST_RATIO, _CLIP_TRIALS)
    too_far = np.flatnonzero(_clip_errors(density, trials) > budget)
    last = too_far[0] if too_far.size else trials.size - 1
    return float(trials[last]), largest


def _clip_errors(density: Density, limits: Float64) -> Float64:
    """Sum of (x - limit)^2 over the values above each limit; limits descend."""
    above = density.right > limits[-1]
    left, right, mass = density.left[above], density.right[above], density.mass[above]
    width = right - left
    left_over = np.maximum(left, limits[:, None]) - limits[:, None]
    right_over = np.maximum(right, limits[:, None]) - limits[:, None]
    share = np.where(width > 0, (right_over - left_over) / np.where(width > 0, width, 1.0), 1.0)
    moments = (left_over**2 + left_over * right_over + right_over**2) / 3
    return np.asarray((moments * share) @ mass)


def _negated(density: Density) -> Density:
    return Density(-density.right[::-1], -density.left[::-1], density.mass[::-1])


def _search(
    density: Density, scheme: Scheme, limits: Sequence[tuple[float, float]], to_range: _ToRange
) -> tuple[float, float]:
    """Search one or two limits; `to_range` says which range they mean."""
    best, least = (0.0, 0.0), np.inf
    for points in _GRIDS[len(limits)]:
        axes = [np.geomspace(largest, smallest, points) for smallest, largest in limits]
        lows, highs = to_range(*(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")))
        errors = squared_errors(density, quantizers(scheme, lows, highs))
        index = int(np.argmin(errors))
        if errors[index] < least:
            best, least = (float(lows[index]), float(highs[index])), float(errors[index])
        at = np.unravel_index(index, (points,) * len(axes))
        limits = [_neighbours(axis, int(i)) for axis, i in zip(axes, at, strict=True)]
    return best


def _neighbours(axis: Float64, index: int) -> tuple[float, float]:
    """The next smaller and the next larger limit."""
    return float(axis[min(index + 1, axis.size - 1)]), float(axis[max(index - 1, 0)])
