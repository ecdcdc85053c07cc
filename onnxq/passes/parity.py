"""Do two models compute the same? Outputs before and after an exact pass are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxq.engine import Feed, input_specs, made_up_feeds, open_to_compare, runner
from onnxq.errors import ModelError
from onnxq.graph import Model

EXACT_TOLERANCE = 1e-4
"""Largest error, relative to the output's largest value, that an exact pass may cause.

Folding reorders float32 sums; over a deep network such differences reach about 1e-5.
"""

_NARROW_TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2}
"""The same where weights or outputs are narrower: four roundings of that type."""

_SMALLEST_SCALE = 1e-2
"""Outputs whose largest value is below this are compared absolutely (to 1e-6 for float32)."""

_MADE_UP = 2


class Reference:
    """The outputs of a model before any edit.

    Attributes:
        feeds: The inputs compared on.
        note: Says how many they are, and whence.
        tolerance: Largest error that counts as none.
        repeatable: Whether the model gave the same outputs when it was run again.
    """

    def __init__(self, model: Model, samples: Sequence[Feed] | None) -> None:
        """Run the model.

        Raises:
            ModelError: if the engine cannot run it, or not on these inputs.
        """
        session = open_to_compare(model)
        self.feeds = samples or made_up_feeds(input_specs(session), _MADE_UP)
        self.note = f"compared on {len(self.feeds)} {'given' if samples else 'made-up'} input(s)"
        run_once = runner(session)
        self._outputs = [run_once(feed) for feed in self.feeds]
        self.tolerance = _tolerance(model)
        self.repeatable = all(
            difference(before, run_once(feed)) <= self.tolerance
            for feed, before in zip(self.feeds[:1], self._outputs, strict=False)
        )

    def error(self, model: Model) -> float:
        """Largest error of any output, relative to that output's largest value.

        Infinite where the model does not run, or an output is missing or of another type,
        shape or length.
        """
        try:
            run_once = runner(open_to_compare(model))
            found = [run_once(feed) for feed in self.feeds]
        except ModelError:
            return float("inf")
        return max(map(difference, self._outputs, found), default=0.0)


def _tolerance(model: Model) -> float:
    kinds = {dtype.name for dtype in {c.stored.dtype for c in model.constants}}
    kinds.update(t.dtype.name for t in model.outputs if t.dtype is not None)
    return max((_NARROW_TOLERANCE.get(kind, 0.0) for kind in kinds), default=0.0) or EXACT_TOLERANCE


def difference(expected: Any, found: Any) -> float:
    """Largest difference of two output values, relative to the largest value expected.

    Args:
        expected: An array, a list or mapping of them, or None, as engines return them.
        found: The same of the other model.

    Returns:
        0 for equal values; infinity where types, shapes, keys or non-finite places differ.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        if expected.keys() != found.keys():
            return float("inf")
        return max((difference(expected[key], found[key]) for key in expected), default=0.0)
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return float("inf")
        return max(map(difference, expected, found), default=0.0)
    if isinstance(expected, np.ndarray) and isinstance(found, np.ndarray):
        return _array_difference(expected, found)
    return 0.0 if type(expected) is type(found) and expected == found else float("inf")


def _array_difference(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind not in "fV" or not expected.size:
        return 0.0 if np.array_equal(expected, found) else float("inf")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    same_places = np.array_equal(finite, np.isfinite(b))
    if not same_places or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = max(float(np.abs(a[finite]).max()), _SMALLEST_SCALE)
    return float(np.abs(a[finite] - b[finite]).max()) / largest
