"""Second moments of what a layer reads, sample by sample, in products of a useful size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Moments
from onnxq.errors import DataError

Array = NDArray[Any]

_TOGETHER = 1024


class Rows(Protocol):
    """How vectors are taken from the tensor that a layer reads."""

    def rows(self, array: Array, most: int) -> Array:
        """At most so many vectors, evenly spread: [group, vector, term]."""
        ...


def gather_moments(arrays: Iterable[Array], rows: Rows, *, vectors: int, samples: int) -> Moments:
    """Moments over the vectors of some arrays.

    Args:
        arrays: What the layer reads, one per sample.
        rows: How vectors are taken from them.
        vectors: How many are wanted in all.
        samples: How many arrays there are.

    Raises:
        DataError: if there is none.
    """
    each = -(-vectors // max(samples, 1))
    found: Moments | None = None
    for part in _joined(rows.rows(np.asarray(array, np.float32), each) for array in arrays):
        found = Moments.of(part) if found is None else found.merge(Moments.of(part))
    if found is None:
        raise DataError("no samples to learn from", remedy="give at least one sample")
    return found


def _joined(parts: Iterable[Array]) -> Iterator[Array]:
    """Arrays [group, vector, term] of a thousand vectors each: larger products, faster."""
    gathered: list[Array] = []
    for part in parts:
        gathered.append(part)
        if sum(p.shape[1] for p in gathered) >= _TOGETHER:
            yield np.concatenate(gathered, axis=1)
            gathered = []
    if gathered:
        yield np.concatenate(gathered, axis=1)
