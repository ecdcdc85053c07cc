"""Check one sample against the model's inputs and give it their types and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.arrays import nearest, to_array
from onnxq.calibration.notes import Notes
from onnxq.engine import Feed, InputSpec
from onnxq.errors import DataError

_LAYOUTS = {"nhwc to nchw": (0, 3, 1, 2), "nchw to nhwc": (0, 2, 3, 1)}


def conform(
    arrays: Mapping[str, object], specs: Sequence[InputSpec], where: str, notes: Notes
) -> Feed:
    """One run's inputs: the model's types and ranks, contiguous, without NaN and infinity.

    Types are changed only where no meaning is lost: to a wider type of the same kind, and to
    a narrower one if every value fits. A missing batch axis is added. Other keys are ignored.

    Args:
        arrays: Inputs by name.
        specs: What the model expects; free dimensions may differ between samples.
        where: The sample, for errors.
        notes: What users should know goes here.

    Raises:
        DataError: An input is missing or does not fit.
    """
    feed: dict[str, NDArray[Any]] = {}
    for spec in specs:
        if spec.name not in arrays:
            raise _missing(spec.name, arrays, where)
        here = f"{where}, input '{spec.name}'"
        array = to_array(arrays[spec.name], here)
        array = _with_rank(_cast(array, spec, here), spec, here, notes)
        _check_dimensions(array, spec, here)
        _check_finite(array, here)
        feed[spec.name] = np.asarray(array, order="C")
    return feed


def _missing(name: str, arrays: Mapping[str, object], where: str) -> DataError:
    given = ", ".join(f"'{key}'" for key in arrays) or "nothing"
    return DataError(
        f"input '{name}' is missing",
        where=where,
        why=f"the sample has {given}",
        remedy=f"{nearest(name, arrays)}name the arrays like the model's inputs",
    )


def _cast(array: NDArray[Any], spec: InputSpec, where: str) -> NDArray[Any]:
    if array.dtype == spec.dtype:
        return array
    if _kind(array.dtype) == _kind(spec.dtype):
        if np.can_cast(array.dtype, spec.dtype, "safe"):
            return array.astype(spec.dtype)
        return _narrowed(array, spec, where)
    raise DataError(
        f"is {array.dtype}, the model wants {spec.dtype}",
        where=where,
        remedy=_cast_remedy(array.dtype, spec.dtype),
    )


def _kind(dtype: np.dtype[Any]) -> str:
    """Integers of both signs are one kind, and so are all floats."""
    if dtype.name == "bfloat16":
        return "f"
    return {"u": "i", "U": "O"}.get(dtype.kind, dtype.kind)


def _narrowed(array: NDArray[Any], spec: InputSpec, where: str) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = array.astype(spec.dtype)
    if _kind(spec.dtype) == "i":
        fits = bool(np.array_equal(narrow, array))
    else:
        fits = bool(np.array_equal(np.isinf(narrow), np.isinf(array)))
    if fits:
        return narrow
    raise DataError(
        f"is {array.dtype} with values that {spec.dtype}, the model's type, cannot hold",
        where=where,
        remedy="check the values: the largest magnitude is"
        f" {np.max(np.abs(array[np.isfinite(array)]), initial=0)}",
    )


def _cast_remedy(given: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    if _kind(wanted) == "f" and given == np.uint8:
        return "these look like raw pixels: scale and normalise them as in training first"
    return f"convert it with .astype('{wanted}') if that is what the model means"


def _with_rank(array: NDArray[Any], spec: InputSpec, where: str, notes: Notes) -> NDArray[Any]:
    rank = len(spec.shape)
    if array.ndim == rank:
        return array
    if array.ndim == rank - 1 and (spec.shape[0] == 1 or not isinstance(spec.shape[0], int)):
        notes.add(f"input '{spec.name}': samples have no batch axis, one was added")
        return array[None]
    raise DataError(
        f"has shape {_text(array.shape)}, the model wants {_text(spec.shape)}",
        where=where,
        why=f"{array.ndim} axes instead of {rank}",
        remedy="give one run's input per sample",
    )


def _check_dimensions(array: NDArray[Any], spec: InputSpec, where: str) -> None:
    if _fits(array.shape, spec):
        return
    axis = next(i for i, size in enumerate(spec.shape) if not _fits_axis(array.shape[i], size))
    remedy = "resize or pad the data to the model's shape"
    if axis == 0:
        remedy = f"give {spec.shape[0]} at a time, as the model's batch is fixed"
    for name, order in _LAYOUTS.items():
        if array.ndim == 4 and _fits(tuple(array.shape[i] for i in order), spec):
            remedy = f"the layout differs: transpose the data from {name}"
    raise DataError(
        f"has shape {_text(array.shape)}, the model wants {_text(spec.shape)}",
        where=where,
        why=f"axis {axis} is {array.shape[axis]} instead of {spec.shape[axis]}",
        remedy=remedy,
    )


def _fits(shape: Sequence[int], spec: InputSpec) -> bool:
    return all(_fits_axis(n, size) for n, size in zip(shape, spec.shape, strict=True))


def _fits_axis(given: int, wanted: int | str | None) -> bool:
    return not isinstance(wanted, int) or given == wanted


def _check_finite(array: NDArray[Any], where: str) -> None:
    if _kind(array.dtype) != "f" or bool(np.isfinite(array).all()):
        return
    raise DataError(
        "holds NaN or infinity",
        where=where,
        why=f"{np.count_nonzero(~np.isfinite(array))} of {array.size} values",
        remedy="remove the sample or repair its preprocessing",
    )


def _text(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
