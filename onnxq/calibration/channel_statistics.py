"""Extremes and power of every channel of a tensor, in memory that does not grow with samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.statistics import LARGEST_ORDINARY, are_ordinary, is_float
from onnxq.engine import Feed, Run
from onnxq.errors import DataError, UsageError

_SQUARE_OVERFLOWS = 2.0**60
"""Values from here on are squared in float64."""


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What was seen of each channel of one tensor.

    Only ordinary values count (see `LARGEST_ORDINARY`). All arrays have one axis for each
    axis of the tensor, of length 1 where channels are not told apart.

    Attributes:
        count: Values seen, int64.
        minimum: Lowest value, float64; +inf before the first.
        maximum: Highest value, float64; -inf before the first.
        squares: Sum of the squares, float64.
    """

    count: NDArray[np.int64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, array: NDArray[Any], axes: Iterable[int]) -> ChannelStatistics:
        """The statistics of one array, of any float type; channels lie along `axes`."""
        kept = {axis % array.ndim for axis in axes}
        others = tuple(axis for axis in range(array.ndim) if axis not in kept)
        values = np.asarray(array, np.float32)
        shape = tuple(n if axis in kept else 1 for axis, n in enumerate(values.shape))
        if not values.size:
            nothing = np.zeros(shape, np.int64)
            return cls(nothing, nothing + np.inf, nothing - np.inf, nothing + 0.0)
        if are_ordinary(float(values.min()), float(values.max())):
            count = np.full(shape, values.size // max(int(np.prod(shape)), 1), np.int64)
            low, high = values.min(others, keepdims=True), values.max(others, keepdims=True)
        else:
            ordinary = np.abs(values) < LARGEST_ORDINARY
            count = ordinary.sum(others, keepdims=True, dtype=np.int64)
            low = np.where(ordinary, values, np.inf).min(others, keepdims=True)
            high = np.where(ordinary, values, -np.inf).max(others, keepdims=True)
            values = np.where(ordinary, values, np.float32(0.0))
        return cls(count, low.astype(np.float64), high.astype(np.float64), _squares(values, others))

    @property
    def largest(self) -> NDArray[np.float64]:
        """Largest absolute value of each channel; 0 where nothing was seen."""
        return np.maximum(np.maximum(-self.minimum, self.maximum), 0.0)

    @property
    def power(self) -> NDArray[np.float64]:
        """Mean square of each channel; 0 where nothing was seen."""
        mean: NDArray[np.float64] = self.squares / np.maximum(self.count, 1)
        return mean

    def merge(self, other: ChannelStatistics) -> ChannelStatistics:
        """The statistics of the values of both.

        Raises:
            UsageError: They tell other channels apart.
        """
        if self.count.shape != other.count.shape:
            raise UsageError(
                "statistics of different channels cannot be merged",
                why=f"their shapes are {self.count.shape} and {other.count.shape}",
                remedy="collect along axes whose length does not change",
            )
        return ChannelStatistics(
            self.count + other.count,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.squares + other.squares,
        )


def merge_channels(
    parts: Iterable[Mapping[str, ChannelStatistics]],
) -> dict[str, ChannelStatistics]:
    """The statistics of the samples of all parts, by tensor name.

    Raises:
        UsageError: They tell other channels apart.
    """
    found: dict[str, ChannelStatistics] = {}
    for part in parts:
        for name, seen in part.items():
            found[name] = found[name].merge(seen) if name in found else seen
    return found


def collect_channels(
    run: Run, feeds: Iterable[Feed], axes: Mapping[str, tuple[int, ...]]
) -> dict[str, ChannelStatistics]:
    """Statistics of the channels of tensors over samples, one sample in memory at a time.

    Args:
        run: Runs the model once and returns at least the tensors, by name.
        feeds: The samples.
        axes: The axes along which the channels of each tensor lie, by tensor name.

    Returns:
        The statistics by tensor name, without tensors that were not seen or are not float.

    Raises:
        DataError: There is no sample.
        UsageError: A channel axis changes its length.
    """
    found: dict[str, ChannelStatistics] = {}
    done = 0
    for feed in feeds:
        _observe(run(feed), axes, found)
        done += 1
    if not done:
        raise DataError("no samples to calibrate with", remedy="give at least one sample")
    return found


def _observe(
    outputs: Mapping[str, NDArray[Any]],
    axes: Mapping[str, tuple[int, ...]],
    found: dict[str, ChannelStatistics],
) -> None:
    """A function of its own, so that the outputs are freed before the next run."""
    for name, kept in axes.items():
        array = outputs.get(name)
        if array is not None and is_float(array.dtype):
            seen = ChannelStatistics.of(array, kept)
            found[name] = found[name].merge(seen) if name in found else seen


def _squares(values: NDArray[np.float32], others: tuple[int, ...]) -> NDArray[np.float64]:
    """Sums of squares: each is worked out in float32 unless that overflows, the sum in float64."""
    extreme = max(-float(values.min()), float(values.max()))
    wide = np.float64 if extreme > _SQUARE_OVERFLOWS else np.float32
    total: NDArray[np.float64] = np.square(values, dtype=wide).sum(
        others, dtype=np.float64, keepdims=True
    )
    return total
