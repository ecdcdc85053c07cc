"""From the statistics of a tensor to its range: one pure function per method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxq.calibration.collection import Statistics
from onnxq.calibration.density import Density, density_of
from onnxq.calibration.entropy_range import entropy_threshold
from onnxq.calibration.ifmr_range import ifmr_range
from onnxq.calibration.mse_range import mse_range
from onnxq.calibration.ranges import Range, Ranges
from onnxq.calibration.statistics import TensorStatistics
from onnxq.config import Entropy, Ifmr, MinMax, MovingAverage, Mse, Percentile, RangeMethod
from onnxq.errors import DataError
from onnxq.quant import Scheme

Bounds: TypeAlias = tuple[float, float]

_UNBOUNDED: Bounds = (-np.inf, np.inf)


@dataclass(frozen=True)
class RangeRequest:
    """What is wanted for one tensor.

    Attributes:
        method: How to find its range.
        scheme: Its number format.
        bounds: Values beyond count as lying at the bound (what a Relu or Clip behind makes of
            them).
    """

    method: RangeMethod
    scheme: Scheme
    bounds: Bounds | None = None


def range_of(
    method: RangeMethod,
    statistics: TensorStatistics,
    scheme: Scheme,
    bounds: Bounds | None = None,
) -> Range:
    """The range of a tensor.

    Args:
        method: How to find it.
        statistics: What calibration saw; with a histogram for all methods but min-max and
            moving average.
        scheme: The number format: its bits and symmetry steer the search. Bits do not matter
            to min-max, moving average and percentile.
        bounds: Values beyond count as lying at the bound.

    Returns:
        The range, with zero in it. It is never wider than the values seen, but for IFMR, and
        never just zero if there are others: where a method would clip all of them (rare
        values of a sparse tensor beyond the percentile), it is that of min-max.

    Raises:
        DataError: No ordinary value was seen, or only extremes that are not ordinary.
        UsageError: The method needs a histogram and there is none.
    """
    _require_values(statistics)
    limits = bounds or _UNBOUNDED
    low, high = _METHODS[type(method)](method, statistics, scheme, limits)
    if low >= 0.0 >= high:
        low, high = _min_max(MinMax(), statistics, scheme, limits)
    return Range(min(low, 0.0), max(high, 0.0))


def needs_histogram(method: RangeMethod) -> bool:
    """Whether a method reads more than the extremes of each sample."""
    return not isinstance(method, (MinMax, MovingAverage))


def estimate_ranges(
    statistics: Statistics,
    requests: Mapping[str, RangeRequest],
    *,
    model: str,
    feeds: str = "",
    feeds_digest: str | None = None,
) -> Ranges:
    """The ranges of many tensors; those that held no value are listed as unobserved.

    Args:
        statistics: What calibration saw.
        requests: What is wanted, by tensor name.
        model: Digest of the model.
        feeds: Where the samples came from.
        feeds_digest: Digest of their content, if it is known.

    Raises:
        DataError: A tensor's range is unknown; the message names it.
        UsageError: A method needs a histogram and there is none.
    """
    unobserved = set(requests) - set(statistics) | set(statistics.unobserved) & set(requests)
    return Ranges(
        model=model,
        ranges={
            name: _named_range(name, statistics[name], request)
            for name, request in requests.items()
            if name not in unobserved
        },
        methods={name: describe(request.method) for name, request in requests.items()},
        unobserved=tuple(name for name in requests if name in unobserved),
        feeds=feeds,
        feeds_digest=feeds_digest,
        samples=statistics.samples,
    )


def describe(method: RangeMethod) -> str:
    """A method and its settings as text: "percentile (percentile 99.99)"."""
    settings = method.model_dump(exclude={"kind"})
    listed = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{method.kind} ({listed})" if listed else method.kind


def _named_range(name: str, statistics: TensorStatistics, request: RangeRequest) -> Range:
    try:
        return range_of(request.method, statistics, request.scheme, request.bounds)
    except DataError as error:
        raise DataError(
            error.what, where=f"tensor '{name}'", why=error.why, remedy=error.remedy
        ) from error


def _require_values(statistics: TensorStatistics) -> None:
    if not statistics.samples:
        raise DataError(
            "no value was observed",
            why=f"{statistics.count} value(s) seen, {statistics.non_finite} of them not finite",
            remedy="keep the tensor in float, or give samples that reach it",
        )


def _min_max(
    _method: MinMax, statistics: TensorStatistics, _scheme: Scheme, bounds: Bounds
) -> Bounds:
    return _limited(statistics.minimum, bounds), _limited(statistics.maximum, bounds)


def _moving_average(
    _method: MovingAverage, statistics: TensorStatistics, _scheme: Scheme, bounds: Bounds
) -> Bounds:
    return _limited(statistics.mean_low, bounds), _limited(statistics.mean_high, bounds)


def _percentile(
    method: Percentile, statistics: TensorStatistics, scheme: Scheme, bounds: Bounds
) -> Bounds:
    """Half of what is left out lies at each end; for symmetric formats all of it at one."""
    density = density_of(statistics).clipped(*bounds)
    share = method.percentile / 100
    if not scheme.symmetric:
        return density.quantile((1 - share) / 2), density.quantile((1 + share) / 2)
    return _both_sides(density, density.magnitudes().quantile(share))


def _entropy(
    method: Entropy, statistics: TensorStatistics, scheme: Scheme, bounds: Bounds
) -> Bounds:
    density = density_of(statistics).clipped(*bounds)
    is_one_sided = density.left[0] >= 0 or density.right[-1] <= 0
    codes = 1 << (scheme.qtype.bits - (scheme.symmetric or not is_one_sided))
    levels = min(method.levels, codes)
    return _both_sides(density, entropy_threshold(density.magnitudes(), levels))


def _mse(_method: Mse, statistics: TensorStatistics, scheme: Scheme, bounds: Bounds) -> Bounds:
    density = density_of(statistics).clipped(*bounds)
    if density.left[0] == density.right[-1] == 0.0:
        return 0.0, 0.0
    return mse_range(density, scheme)


def _ifmr(method: Ifmr, statistics: TensorStatistics, scheme: Scheme, bounds: Bounds) -> Bounds:
    return ifmr_range(density_of(statistics).clipped(*bounds), scheme, method)


_METHODS: Mapping[type[RangeMethod], Callable[[Any, TensorStatistics, Scheme, Bounds], Bounds]] = {
    MinMax: _min_max,
    MovingAverage: _moving_average,
    Percentile: _percentile,
    Entropy: _entropy,
    Mse: _mse,
    Ifmr: _ifmr,
}


def _limited(value: float, bounds: Bounds) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _both_sides(density: Density, threshold: float) -> Bounds:
    """[-threshold, threshold] as far as there are values."""
    return max(float(density.left[0]), -threshold), min(float(density.right[-1]), threshold)
