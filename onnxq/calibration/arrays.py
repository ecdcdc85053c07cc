"""Whatever users hand over as one sample, as numpy arrays by input name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.notes import Notes
from onnxq.engine import InputSpec
from onnxq.errors import DataError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def to_array(value: object, where: str) -> NDArray[Any]:
    """One array, from an array, a torch tensor, or anything numpy understands.

    Args:
        value: The array; tensors may require gradients and live on any device.
        where: The sample and input, for errors.

    Raises:
        DataError: It is not an array of numbers.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        for method in ("detach", "cpu", "numpy"):
            if hasattr(value, method):
                value = getattr(value, method)()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"a {type(value).__name__} cannot be read as an array",
            where=where,
            why=str(error),
            remedy="give numpy arrays or float32 tensors",
        ) from error
    return array


def to_arrays(sample: object, specs: Sequence[InputSpec], where: str, notes: Notes) -> Arrays:
    """The inputs of one sample, by name.

    Args:
        sample: A mapping by input name, a tuple or list in the order of the inputs, or a single
            array. What follows the inputs in a tuple (labels) is left out, with a note.
        specs: The model's inputs.
        where: The sample, for errors.
        notes: What users should know goes here.

    Returns:
        Arrays as they were given: unchecked, possibly with keys that are no inputs.

    Raises:
        DataError: Inputs are missing, or something is not an array.
    """
    if isinstance(sample, Mapping):
        return {str(key): value for key, value in sample.items()}
    if not isinstance(sample, (tuple, list)) or (len(specs) == 1 and _is_numbers(sample)):
        sample = (sample,)
    if sample and isinstance(sample[0], (Mapping, tuple, list)) and not _is_numbers(sample[0]):
        _note_extra(sample[1:], notes)
        return to_arrays(sample[0], specs, where, notes)
    if len(sample) < len(specs):
        names = ", ".join(f"'{spec.name}'" for spec in specs)
        raise DataError(
            f"a sample has {len(sample)} array(s), the model {len(specs)} inputs",
            where=where,
            remedy=f"give one array for each of {names}, or a mapping by input name",
        )
    _note_extra(sample[len(specs) :], notes)
    return {spec.name: value for spec, value in zip(specs, sample, strict=False)}


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    found = difflib.get_close_matches(name, list(names), 1)
    return f"did you mean '{found[0]}'? " if found else ""


def _is_numbers(value: object) -> bool:
    """Whether a sequence is an array written as nested lists."""
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return isinstance(value, (bool, int, float))


def _note_extra(rest: Sequence[object], notes: Notes) -> None:
    if rest:
        notes.add(
            f"samples have {len(rest)} more part(s) than the model has inputs: taken for labels"
            " and ignored"
        )
