"""A histogram of the float bit pattern: log-spaced bins that need no range in advance.

A bin is named by the top 16 bits of a float32: sign, 8 bits of exponent, 7 of mantissa. Its
width is 1/128 of the power of two below it. Counts of any two histograms add up, so the order
in which values arrive changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 1 << 16
SIGN = 1 << 15

# Indices worked on at a time: 2 MB of them stay in the cache.
_CHUNK = 1 << 18


class BitHistogram:
    """Counts of float32 values by bit pattern.

    Attributes:
        counts: int64, one per bin; the index is the bin's bit pattern.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts

    def observe(self, values: NDArray[np.float32]) -> None:
        """Count values.

        Args:
            values: 1-D, contiguous, without NaN and infinities.
        """
        patterns = values.view(np.uint32)
        for start in range(0, patterns.size, _CHUNK):
            bins = (patterns[start : start + _CHUNK] >> 16).astype(np.intp)
            np.add.at(self.counts, bins, 1)

    def merged(self, other: BitHistogram) -> BitHistogram:
        """The histogram of the values of both."""
        return BitHistogram(self.counts + other.counts)

    def sparse(self) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Bins that are not empty, ascending, and their counts."""
        bins = np.flatnonzero(self.counts)
        return bins.astype(np.uint16), self.counts[bins]

    @classmethod
    def from_sparse(cls, bins: NDArray[Any], counts: NDArray[Any]) -> BitHistogram:
        """The histogram that `sparse` was asked of."""
        histogram = cls()
        histogram.counts[bins] = counts
        return histogram

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitHistogram):
            return NotImplemented
        return np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # counts change, so no stable hash exists

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled sparse: most of the half megabyte is zeros.
        return BitHistogram.from_sparse, self.sparse()


def bin_magnitudes(bins: NDArray[np.uint16]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where bins begin and end, without their sign.

    The lowest bin holds zero and numbers below 1e-39 and is taken as zero itself.
    """
    patterns = (bins & (SIGN - 1)).astype(np.uint32)
    near = (patterns << 16).view(np.float32).astype(np.float64)
    far = ((patterns + 1) << 16).view(np.float32).astype(np.float64)
    far[patterns == 0] = 0.0
    return near, far
