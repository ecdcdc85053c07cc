"""Scales that a float16 holds, for engines that compute with no more of them.

A scale s becomes the nearest float16. Beyond its normal numbers, 2^-14 to 65504, where a float16
would keep fewer digits or none, it becomes the square of one:

    s' = fp16(s)         if that is a normal number
    s' = fp16(sqrt(s))²  else, within (2^-14)² to 65504²

(AMCT's FORCE_FP16_QUANT.) Either way s' differs from s by a factor within 1 ± 2^-10, and a float32
holds it exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

SMALLEST_HALF, LARGEST_HALF = 2.0**-14, 65504.0
"""The normal numbers of float16."""

_NUDGE = 2.0**-12
"""Less than half of the distance between neighbours, so that none is passed over."""


def nearest_half(scale: ArrayLike) -> Float64:
    """The allowed scale nearest to each, taken as float32; float64, of the same shape."""
    with np.errstate(over="ignore"):
        values = np.asarray(scale, np.float64).astype(np.float32)
    half = _as_half(values)
    root = np.clip(_as_half(np.sqrt(values)), SMALLEST_HALF, LARGEST_HALF)
    normal = (half >= SMALLEST_HALF) & (half <= LARGEST_HALF)
    return np.where(normal, half, root**2)


def half_below(scale: ArrayLike) -> Float64:
    """The largest allowed scale that is no larger; the smallest of all where there is none."""
    return _on_one_side(np.maximum(scale, SMALLEST_HALF**2), 1.0)


def half_above(scale: ArrayLike) -> Float64:
    """The smallest allowed scale that is no smaller; the largest of all where there is none."""
    return _on_one_side(np.minimum(scale, LARGEST_HALF**2), -1.0)


def _on_one_side(bound: Any, sign: float) -> Float64:
    wish = np.asarray(bound, np.float64)
    while True:
        found = nearest_half(wish)
        beyond = sign * found > sign * bound
        if not np.any(beyond):
            return found
        wish = np.where(beyond, wish * (1 - sign * _NUDGE), wish)


def _as_half(values: NDArray[np.float32]) -> Float64:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)
