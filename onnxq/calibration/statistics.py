"""What calibration remembers of one tensor: a fixed amount, however many samples it sees.

Merging is addition of integers and comparison of extremes, so it is exact, associative and
commutative: shards in any order give bit-identical statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.histogram import BitHistogram
from onnxq.errors import DataError, UsageError

LARGEST_ORDINARY = 2.0**100
"""Values from here on (about 1.3e30) stand for minus infinity in masks; they own no range."""

# Every float32 is a whole multiple of the smallest one, 2^-149.
_UNIT_BITS = 149


@dataclass(eq=True, slots=True)
class TensorStatistics:
    """Streaming statistics of one float tensor.

    Ordinary values are those with a magnitude below `LARGEST_ORDINARY`. Only they enter the
    extremes, the sums and the histogram; the others are counted.

    Attributes:
        count: Values seen, of any kind.
        samples: Arrays seen that held an ordinary value.
        minimum: Lowest ordinary value; +inf before the first.
        maximum: Highest ordinary value; -inf before the first.
        raw_minimum: Lowest value of any kind but NaN.
        raw_maximum: Highest value of any kind but NaN.
        low_sum: Sum of the arrays' lowest ordinary values, in units of 2^-149.
        high_sum: Sum of their highest, likewise.
        nan: How many values were NaN.
        infinite: How many were infinite.
        huge: How many were finite, but not ordinary.
        histogram: Counts of the ordinary values, or None where extremes are all that is needed.
    """

    count: int = 0
    samples: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    raw_minimum: float = np.inf
    raw_maximum: float = -np.inf
    low_sum: int = 0
    high_sum: int = 0
    nan: int = 0
    infinite: int = 0
    huge: int = 0
    histogram: BitHistogram | None = field(default=None)

    @classmethod
    def empty(cls, *, histogram: bool) -> TensorStatistics:
        """Statistics that have seen nothing yet."""
        return cls(histogram=BitHistogram() if histogram else None)

    @property
    def non_finite(self) -> int:
        """How many values were NaN or infinite."""
        return self.nan + self.infinite

    @property
    def mean_low(self) -> float:
        """Mean of the arrays' lowest ordinary values, correctly rounded; 0 without any."""
        return _mean(self.low_sum, self.samples)

    @property
    def mean_high(self) -> float:
        """Mean of the arrays' highest ordinary values, correctly rounded; 0 without any."""
        return _mean(self.high_sum, self.samples)

    def observe(self, array: NDArray[Any]) -> None:
        """Take in the values of one sample.

        Args:
            array: Any shape and memory layout, any float type; counted as float32, to which
                wider values round (and those beyond it count as infinite).

        Raises:
            UsageError: The array does not hold floating-point numbers.
        """
        if not is_float(array.dtype):
            raise UsageError(
                f"an array of {array.dtype} has no range to calibrate",
                why="only floating-point tensors are quantized",
            )
        if array.size == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.asarray(array, np.float32).reshape(-1)
            low, high = float(values.min()), float(values.max())
        self.count += values.size
        if not are_ordinary(low, high):
            values, low, high = self._set_apart(values)
        if values.size:
            self._add_extremes(low, high)
            if self.histogram is not None:
                self.histogram.observe(np.ascontiguousarray(values))

    def merge(self, other: TensorStatistics) -> TensorStatistics:
        """The statistics of the samples of both.

        Raises:
            UsageError: One has a histogram and the other has none.
        """
        return TensorStatistics(
            count=self.count + other.count,
            samples=self.samples + other.samples,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
            raw_minimum=min(self.raw_minimum, other.raw_minimum),
            raw_maximum=max(self.raw_maximum, other.raw_maximum),
            low_sum=self.low_sum + other.low_sum,
            high_sum=self.high_sum + other.high_sum,
            nan=self.nan + other.nan,
            infinite=self.infinite + other.infinite,
            huge=self.huge + other.huge,
            histogram=_merged(self.histogram, other.histogram),
        )

    def to_dict(self) -> dict[str, Any]:
        """The statistics as JSON values; ``from_dict`` reads them back exactly."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _INTEGERS}
        data |= {name: _to_json(getattr(self, name)) for name in _EXTREMES}
        data["histogram"] = None
        if self.histogram is not None:
            bins, counts = self.histogram.sparse()
            data["histogram"] = {"bins": bins.tolist(), "counts": counts.tolist()}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TensorStatistics:
        """Read statistics from JSON values.

        Raises:
            DataError: They are not statistics.
        """
        try:
            numbers = {name: int(data[name]) for name in _INTEGERS}
            extremes = {name: float(data[name]) for name in _EXTREMES}
            sparse = data["histogram"]
            histogram = None
            if sparse is not None:
                bins = np.array(sparse["bins"], np.uint16)
                histogram = BitHistogram.from_sparse(bins, np.array(sparse["counts"], np.int64))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError("these are not calibration statistics", why=repr(error)) from error
        statistics = cls(histogram=histogram)
        for name, value in {**numbers, **extremes}.items():
            setattr(statistics, name, value)
        return statistics

    def _set_apart(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, float]:
        """Count the values that own no range; return the others and their extremes."""
        ordinary = np.abs(values) < LARGEST_ORDINARY
        self._count_extraordinary(values[~ordinary])
        kept = values[ordinary]
        if not kept.size:
            return kept, np.inf, -np.inf
        return kept, float(kept.min()), float(kept.max())

    def _count_extraordinary(self, values: NDArray[np.float32]) -> None:
        numbers = values[~np.isnan(values)]
        self.nan += values.size - numbers.size
        self.infinite += int(np.count_nonzero(np.isinf(numbers)))
        huge = np.isfinite(numbers) & (np.abs(numbers) >= LARGEST_ORDINARY)
        self.huge += int(np.count_nonzero(huge))
        if numbers.size:
            self._widen_raw(float(numbers.min()), float(numbers.max()))

    def _add_extremes(self, low: float, high: float) -> None:
        self.samples += 1
        # Adding 0.0 makes -0.0 positive: which of two equal zeros stays must not depend on order.
        self.minimum, self.maximum = min(self.minimum, low + 0.0), max(self.maximum, high + 0.0)
        self._widen_raw(low, high)
        self.low_sum += _in_units(low)
        self.high_sum += _in_units(high)

    def _widen_raw(self, low: float, high: float) -> None:
        self.raw_minimum = min(self.raw_minimum, low + 0.0)
        self.raw_maximum = max(self.raw_maximum, high + 0.0)


_EXTREMES = ("minimum", "maximum", "raw_minimum", "raw_maximum")
_INTEGERS = (
    *("count", "samples", "low_sum", "high_sum"),
    *("nan", "infinite", "huge"),
)


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a type holds floating-point numbers (bfloat16 of ml_dtypes included)."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def are_ordinary(low: float, high: float) -> bool:
    """Whether extremes are those of ordinary values; False with NaN, which compares as false."""
    return low > -LARGEST_ORDINARY and high < LARGEST_ORDINARY


def _in_units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << _UNIT_BITS) // denominator)


def _mean(units: int, samples: int) -> float:
    return float(Fraction(units, samples << _UNIT_BITS)) if samples else 0.0


def _merged(one: BitHistogram | None, other: BitHistogram | None) -> BitHistogram | None:
    if one is None and other is None:
        return None
    if one is None or other is None:
        raise UsageError(
            "statistics with and without a histogram cannot be merged",
            remedy="collect all shards with the same setting",
        )
    return one.merged(other)


def _to_json(value: float) -> float | str:
    """Infinities have no JSON number; float() reads their text."""
    return value if np.isfinite(value) else str(value)
