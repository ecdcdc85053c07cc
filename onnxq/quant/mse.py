"""Scales that minimise the squared rounding error of weights.

A range that covers the largest weight wastes codes on a few outliers. As in OMSE (Choukroun
et al. 2019, arXiv:1902.06822), the range is shrunk and the scale with the smallest
sum (x - dequantize(quantize(x)))^2 is kept, here by a search over a grid of shrink factors
for every channel or block at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.arithmetic import round_to_codes
from onnxq.quant.choose import choose_qparams, value_range
from onnxq.quant.qparams import QParams
from onnxq.quant.scheme import Scheme

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Geometric, because the error depends on the ratio; low bit widths want ranges of about a quarter.
_FACTORS = np.geomspace(1.0, 0.2, 64)

# With few codes the error jumps from one factor to the next, and all of them are tried.
_FEW_BITS = 4

# With more, every so many, and then those between the neighbours of the best.
_STRIDE = 4

# Once clipping has made the error so many times the smallest, it only grows from there.
_HOPELESS = 4.0

# Elements worked on at a time: two float32 temporaries of this size stay in the cache.
_CHUNK = 1 << 17


def mse_qparams(scheme: Scheme, array: NDArray[Any]) -> QParams:
    """Parameters with the smallest squared error over 64 shrink factors from 1 to 0.2.

    Both ends of a range are shrunk by the same factor, so affine schemes work as well. The
    result is never worse than `qparams_of`, which is the first candidate and wins ties. Above
    four bits the error falls and rises smoothly, so a quarter of the factors is tried first, and
    then those around the best, for each scale its own. Beside at most one copy of the array,
    memory is a few arrays of the parameters' size.

    Args:
        scheme: The scheme to find parameters for.
        array: Weights, any shape that has the granularity's axis.

    Raises:
        DataError: The array holds NaN or an infinity.
        UsageError: The granularity names an axis that the array has not.
    """
    values = np.asarray(array, np.float32)
    low, high = (bound.astype(np.float64) for bound in value_range(scheme, values))
    if values.size == 0:
        return choose_qparams(scheme, low, high)
    search = _Search(scheme, _rows(scheme, values), low, high)
    if scheme.qtype.bits <= _FEW_BITS:
        search.try_all(range(1, len(_FACTORS)))
        return search.best
    search.try_all(range(_STRIDE, len(_FACTORS), _STRIDE), give_up=_HOPELESS)
    middle = search.place
    for offset in [*range(1 - _STRIDE, 0), *range(1, _STRIDE)]:
        search.attempt(np.clip(middle + offset, 0, len(_FACTORS) - 1))
    return search.best


class _Search:
    """The best parameters so far, for every scale on its own."""

    def __init__(self, scheme: Scheme, rows: Float32, low: Float64, high: Float64) -> None:
        self._scheme, self._rows, self._low, self._high = scheme, rows, low, high
        self._previous = self.best = choose_qparams(scheme, low, high)
        self._smallest = _squared_error(rows, self.best)
        self.place = np.zeros(self.best.scale.shape, np.int64)
        """Which factor each of the best parameters has."""

    def try_all(self, places: Iterable[int], give_up: float | None = None) -> None:
        """One factor after another, the same for all, until all errors are hopeless."""
        for place in places:
            error = self.attempt(np.full(self.place.shape, place))
            if error is None or give_up is None:
                continue
            if bool(np.all(error > give_up * self._smallest)):
                return

    def attempt(self, places: NDArray[np.int64]) -> Float64 | None:
        """A factor for each scale; its errors, None if it makes no difference."""
        factors = _FACTORS[places]
        candidate = choose_qparams(self._scheme, self._low * factors, self._high * factors)
        if candidate == self._previous:
            return None
        self._previous = candidate
        error = _squared_error(self._rows, candidate)
        better = error < self._smallest
        self.best = _pick(better, candidate, self.best)
        self.place = np.where(better, places, self.place)
        self._smallest = np.minimum(error, self._smallest)
        return error


def _pick(better: NDArray[np.bool_], candidate: QParams, best: QParams) -> QParams:
    scale = np.where(better, candidate.scale, best.scale)
    zero_point = np.where(better, candidate.zero_point, best.zero_point)
    return QParams(best.scheme, scale, zero_point)


def _rows(scheme: Scheme, values: Float32) -> Float32:
    """One row per scale, in the scales' C order; a copy unless the array has that layout."""
    grouped = scheme.granularity.group(values)
    shared = scheme.granularity.shared_axes(grouped.ndim)
    ordered = np.moveaxis(grouped, shared, range(-len(shared), 0))
    count = grouped.size // max(1, np.prod([grouped.shape[axis] for axis in shared], dtype=int))
    return np.ascontiguousarray(ordered.reshape(count, -1))


def _squared_error(rows: Float32, qparams: QParams) -> Float64:
    """Sum of squared errors per row, in the shape of the scale."""
    scheme = qparams.scheme
    scale = qparams.scale.reshape(-1, 1)
    zero_point = qparams.zero_point.astype(np.float32).reshape(-1, 1)
    error = np.zeros(len(rows))
    height = max(1, _CHUNK // rows.shape[1])
    buffer = np.empty(min(rows.size, max(_CHUNK, height)), np.float32)
    for top in range(0, len(rows), height):
        part = slice(top, top + height)
        for left in range(0, rows.shape[1], _CHUNK):
            tile = rows[part, left : left + _CHUNK]
            out = buffer[: tile.size].reshape(tile.shape)
            round_to_codes(tile, scale[part], zero_point[part], scheme, out)
            error[part] += _codes_to_error(out, tile, scale[part], zero_point[part])
    return error.reshape(qparams.scale.shape)


def _codes_to_error(codes: Float32, tile: Float32, scale: Float32, zero_point: Float32) -> Float32:
    """Sum of squared errors per row, in place; an error above 1e19 counts as infinite."""
    with np.errstate(over="ignore"):
        np.subtract(codes, zero_point, out=codes)
        np.multiply(codes, scale, out=codes)
        np.subtract(codes, tile, out=codes)
        np.square(codes, out=codes)
        return np.asarray(np.sum(codes, axis=1))
