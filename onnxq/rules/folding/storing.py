"""New values of constants: worked out in float64, stored in the constant's own type."""

from __future__ import annotations

from math import isfinite, prod
from typing import Any

import numpy as np

from onnxq.graph import Constant, read
from onnxq.rules.folding.affine import Affine, Array
from onnxq.rules.folding.plan import Values

FLOATS = frozenset(np.dtype(name) for name in ("float16", "float32", "float64"))
"""Element types that maps are folded in."""

_MAY_GROW_BY = 65_536
"""Bytes that a constant may become larger by, so that one number can become one per channel."""

_MARGIN = 64
"""How far above the smallest normal number of its type a constant's largest entry must lie."""


def grows_too_much(constant: Constant, shape: tuple[int, ...]) -> bool:
    """Whether a constant would take much more room in this shape."""
    added = prod(shape) - constant.size
    return added > 0 and added * constant.stored.dtype.itemsize > _MAY_GROW_BY


def mapped(constant: Constant, affine: Affine) -> Array | str:
    """The map of a constant, in the constant's type, or why that type cannot hold it."""
    value = read(constant)
    with np.errstate(all="ignore"):
        if affine.adds_nothing:
            shape = np.broadcast_shapes(value.shape, affine.factor.shape)
            result = np.empty(shape, value.dtype)
            # numpy converts piece by piece: there is no copy of a large weight in float64.
            np.multiply(value, affine.factor, out=result, dtype=np.float64, casting="unsafe")
        else:
            exact = value.astype(np.float64) * affine.factor + affine.addend
            result = exact.astype(value.dtype)
    return _held(result, _peak(value))


def stored(exact: Array, dtype: np.dtype[Any]) -> Array | str:
    """An array of float64 in the type of a constant, or why that type cannot hold it."""
    with np.errstate(all="ignore"):
        return _held(np.asarray(exact, dtype), _peak(exact))


def _held(result: Array, source: float) -> Array | str:
    """`result`, unless it overflowed or all but vanished and its source (peak) did not."""
    peak = _peak(result)
    if not isfinite(peak) and isfinite(source):
        return f"a constant would leave the range of {result.dtype.name}"
    floor = float(np.finfo(result.dtype).tiny) * _MARGIN
    if peak < floor <= source and peak != 0.0:
        return f"a constant would be too small for {result.dtype.name}"
    return result


def _peak(values: Array) -> float:
    if values.size == 0:
        return 0.0
    return max(abs(float(values.max())), abs(float(values.min())))


def values_of(found: dict[int, Array | str]) -> Values | str:
    """New constants by position; the first reason where one cannot be stored."""
    values: dict[int, Array] = {}
    for index, value in found.items():
        if isinstance(value, str):
            return value
        values[index] = value
    return values
