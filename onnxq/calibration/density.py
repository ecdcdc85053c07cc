"""The distribution of a tensor's values, as its histogram tells it.

Within a bin the values count as spread evenly; the outermost bins end at the exact extremes.
So a tensor that saturates (at 6 after Clip, at 1 after Sigmoid) keeps that peak as a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.histogram import SIGN, bin_magnitudes
from onnxq.calibration.statistics import TensorStatistics
from onnxq.errors import UsageError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Density:
    """Mass spread evenly over intervals, which ascend and do not overlap.

    Attributes:
        left: Where the intervals begin, 1-D.
        right: Where they end; equal to left for a point.
        mass: How many values each holds.
    """

    left: Float64
    right: Float64
    mass: Float64

    @property
    def total(self) -> float:
        """How many values there are."""
        return float(self.mass.sum())

    def quantile(self, fraction: float) -> float:
        """The value below which this fraction of the mass lies, right to a bin's width."""
        return self.at_rank(fraction * self.total)

    def at_rank(self, rank: float) -> float:
        """The value below which that many values lie.

        Args:
            rank: From 0, the lowest value, to `total`, the highest.
        """
        below = np.concatenate([[0.0], np.cumsum(self.mass)])
        last = self.mass.size - 1
        index = min(max(int(np.searchsorted(below, rank, side="left")) - 1, 0), last)
        share = float(np.clip((rank - below[index]) / self.mass[index], 0.0, 1.0))
        left, right = float(self.left[index]), float(self.right[index])
        return left + share * (right - left)

    def clipped(self, low: float, high: float) -> Density:
        """The density of the values limited to [low, high]."""
        return Density(np.clip(self.left, low, high), np.clip(self.right, low, high), self.mass)

    def magnitudes(self) -> Density:
        """The density of the absolute values.

        Negative values join the positive bin of the same magnitudes, so that intervals do not
        overlap.
        """
        negative = self.right <= 0
        left = np.where(negative, -self.right, self.left)
        right = np.where(negative, -self.left, self.right)
        # Bins of both signs share their lower edge, but either may have been cut at its end.
        edges, group = np.unique(left, return_inverse=True)
        ends = edges.copy()
        np.maximum.at(ends, group, right)
        ends[:-1] = np.minimum(ends[:-1], edges[1:])
        mass = np.zeros_like(edges)
        np.add.at(mass, group, self.mass)
        return Density(edges, ends, mass)


def density_of(statistics: TensorStatistics) -> Density:
    """The density of a tensor's ordinary values.

    Args:
        statistics: With a histogram that holds at least one value.

    Raises:
        UsageError: There is no histogram, or it is empty.
    """
    if statistics.histogram is None or not statistics.samples:
        raise UsageError(
            "the statistics have no histogram with values",
            why="only min-max and moving average do without",
            remedy="collect with histogram=True",
        )
    bins, counts = statistics.histogram.sparse()
    near, far = bin_magnitudes(bins)
    negative = bins >= SIGN
    left = np.concatenate([-far[negative][::-1], near[~negative]])
    right = np.concatenate([-near[negative][::-1], far[~negative]])
    mass = np.concatenate([counts[negative][::-1], counts[~negative]]).astype(np.float64)
    return Density(left, right, mass).clipped(statistics.minimum, statistics.maximum)
