"""From the range of a tensor to its scale and zero point.

With a <= 0 <= b the range, qmin..qmax the codes allowed and m the type's midpoint:

* affine:     s = (b - a) / (qmax - qmin),  z = round(qmin - a / s)
* symmetric:  s = max(b / (qmax - m), -a / (m - qmin)),  z = m

(Nagel et al. 2021, arXiv:2106.08295, section 2.2.) The symmetric scale is the smallest
that clips neither end: with a narrow range it is max|x| / (2^(bits-1) - 1), with the full
range a dominant negative side uses the extra code. Scales are computed in float64, where
b - a cannot overflow, and rounded to float32, or to what a float16 holds (`onnxq.quant.half`)
before z is found; then a value at the end of a range may lie 2^-10 of it beyond the last code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxq.errors import DataError, UsageError
from onnxq.quant.granularity import PerBlock, PerChannel, PerTensor
from onnxq.quant.half import nearest_half
from onnxq.quant.qparams import QParams
from onnxq.quant.scheme import Scheme

Float64 = NDArray[np.float64]

# Twice the smallest normal float32: engines may flush smaller numbers to zero.
SMALLEST_SCALE = 2.0**-125

_FLOAT32_MAX = float(np.finfo(np.float32).max)
# A margin for the rounding of scale and product, so that scale * reach stays finite.
_LARGEST_PRODUCT = _FLOAT32_MAX * (1 - 2.0**-20)


def choose_qparams(scheme: Scheme, low: ArrayLike, high: ArrayLike) -> QParams:
    """Scale and zero point that cover the ranges [low, high], extended to include zero.

    Zero is always represented exactly. A scale is never below `SMALLEST_SCALE` and never
    infinite. Where a range is just zero, the scale is 1.0 per tensor; a channel or block of
    zeros takes the largest scale of its tensor (1.0 if all are zero), because the bias of
    such a channel would lose precision with a larger one. With ranges near the largest
    float32 the scale is lowered so far that every code that a value in range takes
    dequantizes to a finite number; a power-of-two scale may then clip the range.

    Args:
        scheme: The scheme to find parameters for.
        low: Lowest values, 0-d per tensor, 1-D per channel, one per block for blocks.
        high: Highest values, same shape.

    Returns:
        The parameters, of the shape of ``low``.

    Raises:
        DataError: A bound is NaN, infinite or beyond float32, or low is above high.
        UsageError: The shapes differ or do not fit the granularity.
    """
    lows, highs = np.asarray(low, np.float64), np.asarray(high, np.float64)
    _require_shapes(scheme, lows, highs)
    _require_range(lows, highs)
    return _parameters(scheme, np.minimum(lows, 0.0), np.maximum(highs, 0.0))


def qparams_of(scheme: Scheme, array: NDArray[Any]) -> QParams:
    """Parameters that cover the array's own minimum and maximum.

    Args:
        scheme: The scheme to find parameters for.
        array: Any shape that has the granularity's axis, any float type.

    Raises:
        DataError: The array holds NaN or an infinity.
        UsageError: The granularity names an axis that the array has not.
    """
    low, high = value_range(scheme, array)
    return choose_qparams(scheme, low, high)


def value_range(scheme: Scheme, array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest value, zero included, at the scheme's granularity.

    Raises:
        UsageError: The granularity names an axis that the array has not.
    """
    granularity = scheme.granularity
    grouped = granularity.group(array)
    axes = granularity.shared_axes(grouped.ndim)
    low = np.min(grouped, axis=axes, initial=0.0)
    high = np.max(grouped, axis=axes, initial=0.0)
    return np.asarray(low), np.asarray(high)


def _parameters(scheme: Scheme, low: Float64, high: Float64) -> QParams:
    exact = _exact_scale(scheme, low, high)
    scale = np.maximum(exact, SMALLEST_SCALE)
    if scheme.power_of_two:
        scale = _power_of_two_above(scale)
    scale = _replace_zero_ranges(scale, exact == 0)
    if scheme.half_scales and not scheme.power_of_two:
        scale = nearest_half(scale)
    zero_point = _zero_point(scheme, low, scale)
    scale = np.minimum(scale, _largest_scale(scheme, zero_point))
    return QParams(
        scheme,
        np.asarray(scale, np.float32),
        np.asarray(zero_point, np.int32).astype(scheme.qtype.storage),
    )


def _exact_scale(scheme: Scheme, low: Float64, high: Float64) -> Float64:
    if not scheme.symmetric:
        return np.asarray((high - low) / (scheme.maximum - scheme.minimum))
    middle = scheme.qtype.midpoint
    return np.maximum(high / (scheme.maximum - middle), -low / (middle - scheme.minimum))


def _zero_point(scheme: Scheme, low: Float64, scale: Float64) -> Float64:
    if scheme.symmetric:
        return np.full(scale.shape, scheme.qtype.midpoint, np.float64)
    return np.clip(np.rint(scheme.minimum - low / scale), scheme.minimum, scheme.maximum)


def _largest_scale(scheme: Scheme, zero_point: Float64) -> Float64:
    above, below = scheme.maximum - zero_point, zero_point - scheme.minimum
    if scheme.power_of_two:
        return _power_of_two_below(_LARGEST_PRODUCT / np.maximum(above, below))
    return _LARGEST_PRODUCT / (above if scheme.symmetric else np.maximum(above, below))


def _replace_zero_ranges(scale: Float64, zero: NDArray[np.bool_]) -> Float64:
    if not zero.any():
        return scale
    substitute = 1.0 if zero.all() else scale[~zero].max()
    return np.where(zero, substitute, scale)


def _power_of_two_below(values: Float64) -> Float64:
    _, exponent = np.frexp(values)
    return np.asarray(np.ldexp(1.0, exponent - 1))


def _power_of_two_above(values: Float64) -> Float64:
    below = _power_of_two_below(values)
    return np.where(below == values, below, 2 * below)


def _require_range(low: Float64, high: Float64) -> None:
    if not (np.all(np.abs(low) <= _FLOAT32_MAX) and np.all(np.abs(high) <= _FLOAT32_MAX)):
        raise DataError(
            "a range has a bound that is NaN, infinite or beyond float32",
            why="no finite scale covers it",
            remedy="look for NaN or infinity in the weights or the calibration data",
        )
    if np.any(low > high):
        raise DataError("a range has its low bound above its high bound")


def _require_shapes(scheme: Scheme, low: Float64, high: Float64) -> None:
    if low.shape != high.shape:
        raise UsageError(f"bounds of shapes {low.shape} and {high.shape} do not go together")
    fits = {
        PerTensor: low.ndim == 0,
        PerChannel: low.ndim == 1,
        PerBlock: low.ndim > 0,
    }
    if not fits[type(scheme.granularity)]:
        raise UsageError(
            f"bounds of shape {low.shape} do not fit {scheme.granularity}",
            remedy="give scalars per tensor, a vector per channel, an array per block",
        )
