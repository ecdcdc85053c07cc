"""Inputs made to provoke: constant fills, the ends of the number format, other batch sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, InputSpec

Filler: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

_LARGE = 1e3
_TINY = 1e-30
_BATCHES = (1, 2, 3)
_CODE_BYTES = 1


def ordinary_fills(sample: Feed) -> dict[str, Feed]:
    """Inputs whose outputs should be finite by themselves, by what they hold."""
    return {
        "zeros": _filled(sample, np.zeros_like),
        "ones": _filled(sample, np.ones_like),
        "large": _filled(sample, lambda value: _floats(value, _LARGE)),
        "negative": _filled(sample, lambda value: _floats(value, -_LARGE)),
        "tiny": _filled(sample, lambda value: _floats(value, _TINY)),
    }


def extreme_fills(sample: Feed) -> dict[str, Feed]:
    """The largest and the lowest value of each input's number format.

    Integers of more than 8 bits stay as they are in the sample: they are indices and lengths, for
    which an end of the format is a mistake of the caller.
    """
    return {
        "highest": _filled(sample, lambda value: _end(value, highest=True)),
        "lowest": _filled(sample, lambda value: _end(value, highest=False)),
    }


def other_batches(sample: Feed, specs: Sequence[InputSpec]) -> dict[str, Feed]:
    """The sample repeated along a free first axis, by size; empty if that axis is fixed."""
    free = {spec.name for spec in specs if spec.shape and not isinstance(spec.shape[0], int)}
    names = [str(spec.shape[0]) for spec in specs if spec.name in free]
    if not free or len(set(names)) != 1:
        return {}
    return {
        f"{names[0]}={size}": {
            name: np.repeat(value[:1], size, axis=0) if name in free else value
            for name, value in sample.items()
        }
        for size in _BATCHES
    }


def _filled(sample: Feed, fill: Filler) -> Feed:
    return {name: value if value.dtype == object else fill(value) for name, value in sample.items()}


def _is_float(value: NDArray[Any]) -> bool:
    return value.dtype.kind == "f" or value.dtype.name.startswith(("bfloat", "float"))


def _floats(value: NDArray[Any], number: float) -> NDArray[Any]:
    return np.full_like(value, number) if _is_float(value) else value


def _largest_float(dtype: np.dtype[Any]) -> Any:
    # numpy's own finfo does not know the types of ml_dtypes.
    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # it has no types
    return limits.max


def _end(value: NDArray[Any], *, highest: bool) -> NDArray[Any]:
    if value.dtype == np.bool_:
        return np.full_like(value, highest)
    if value.dtype.kind in "iu" and value.dtype.itemsize == _CODE_BYTES:
        limits = np.iinfo(value.dtype)
        return np.full_like(value, limits.max if highest else limits.min)
    if _is_float(value):
        return np.full_like(value, _largest_float(value.dtype) * (1 if highest else -1))
    return value
