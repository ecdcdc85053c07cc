"""The squared error that quantizing does to a density, in closed form.

In units of the scale, a quantizer rounds to whole numbers and limits the result to [a, b], the
lowest and highest code less the zero point. The antiderivative of its squared error is

    F(u) = round(c) / 12 + (c - round(c))^3 / 3 + (u - c)^3 / 3,   c = min(max(u, a), b)

(the first two terms integrate the sawtooth (c - round(c))^2, the last one the clipping error),
so mass m spread evenly over [l, r] adds m * scale^2 * (F(r) - F(l)) / (r - l).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxq.calibration.density import Density
from onnxq.quant import PerChannel, Scheme, choose_qparams

Float64 = NDArray[np.float64]
_Values: TypeAlias = Callable[[Float64, Float64, Float64], Float64]

# An interval this many times narrower than the smallest step counts as a point: dividing the
# difference of two F by its width would lose digits.
_POINT_WIDTH = 1e-3

# Numbers worked on at a time: temporaries of this size stay in the cache.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Quantizers:
    """Candidates for the quantizer of one tensor.

    Attributes:
        scale: Steps, 1-D.
        lowest: Lowest code less the zero point, 1-D; at most 0.
        highest: Highest code less the zero point; at least 0.
    """

    scale: Float64
    lowest: Float64
    highest: Float64


def quantizers(scheme: Scheme, low: ArrayLike, high: ArrayLike) -> Quantizers:
    """What the scheme makes of candidate ranges: real scales and zero points.

    Args:
        scheme: The number format; its granularity does not matter.
        low: Lower ends, 1-D.
        high: Upper ends, 1-D.
    """
    per_candidate = Scheme(
        scheme.qtype,
        PerChannel(0),
        scheme.symmetric,
        scheme.narrow_range,
        scheme.power_of_two,
        scheme.half_scales,
    )
    qparams = choose_qparams(per_candidate, low, high)
    zero_point = qparams.zero_point.astype(np.int64)
    return Quantizers(
        scale=qparams.scale.astype(np.float64),
        lowest=(scheme.minimum - zero_point).astype(np.float64),
        highest=(scheme.maximum - zero_point).astype(np.float64),
    )


def squared_errors(density: Density, candidates: Quantizers) -> Float64:
    """Sum of (x - dequantize(quantize(x)))^2 over the density, for every candidate, 1-D."""
    smallest = float(candidates.scale.min())
    # Values that every candidate rounds to zero err by x^2.
    tiny = np.maximum(-density.left, density.right) < smallest / 2
    points = ~tiny & (density.right - density.left < _POINT_WIDTH * smallest)
    wide = ~tiny & ~points
    errors = np.full(candidates.scale.size, _second_moment(density, tiny))
    if points.any():
        middle = (density.left[points] + density.right[points]) / 2
        sums = _weighted_sums(_point_errors, candidates, middle, density.mass[points])
        errors += candidates.scale**2 * sums
    if wide.any():
        sums = _weighted_sums(_antiderivatives, candidates, *_edges(density, wide))
        errors += candidates.scale**3 * sums
    return errors


def _second_moment(density: Density, chosen: NDArray[np.bool_]) -> float:
    left, right = density.left[chosen], density.right[chosen]
    return float(density.mass[chosen] @ (left * left + left * right + right * right) / 3)


def _edges(density: Density, chosen: NDArray[np.bool_]) -> tuple[Float64, Float64]:
    """Each edge once, and the weight of F there: neighbours share an edge."""
    left, right = density.left[chosen], density.right[chosen]
    height = density.mass[chosen] / (right - left)
    edges, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    weight = np.zeros_like(edges)
    np.add.at(weight, where, np.concatenate([-height, height]))
    return edges, weight


def _weighted_sums(
    values_at: _Values, candidates: Quantizers, x: Float64, weight: Float64
) -> Float64:
    """Sum of weight * values_at(x / scale) for every candidate."""
    sums = np.empty(candidates.scale.size)
    rows = max(1, _CHUNK // x.size)
    for start in range(0, sums.size, rows):
        part = np.s_[start : start + rows]
        units = x / candidates.scale[part, None]
        lowest, highest = candidates.lowest[part, None], candidates.highest[part, None]
        sums[part] = values_at(units, lowest, highest) @ weight
    return sums


def _point_errors(units: Float64, lowest: Float64, highest: Float64) -> Float64:
    error = np.rint(units)
    np.clip(error, lowest, highest, out=error)
    error -= units
    return np.square(error, out=error)


def _antiderivatives(units: Float64, lowest: Float64, highest: Float64) -> Float64:
    limited = np.clip(units, lowest, highest)
    units -= limited
    beyond = np.square(units)
    beyond *= units
    rounded = np.rint(limited)
    limited -= rounded
    sawtooth = np.square(limited)
    sawtooth *= limited
    sawtooth += beyond
    sawtooth /= 3
    rounded /= 12
    sawtooth += rounded
    return sawtooth
