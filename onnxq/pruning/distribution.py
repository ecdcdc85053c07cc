"""How much of which group goes, so that a cost is reached at the least loss.

Along the lower convex hull of its losses, each group gives channels in steps that cost ever more
loss per channel. The step that loses least per cost it saves is taken first, over all groups; what
it saves depends on the steps taken before, since layers shrink from both sides. The last step is
cut short where that comes nearer to the cost asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.pruning.counts import Limits, nearest_kept
from onnxq.pruning.curves import Curve

Shares = NDArray[np.float64]


class Costs(Protocol):
    """A cost that falls with the channels kept."""

    def cost(self, kept: Shares) -> float:
        """The cost with these shares of the groups left."""
        ...

    def saved(self, kept: Shares, group: int, share: float) -> float:
        """What is saved if one group goes down to a share."""
        ...


@dataclass(frozen=True)
class Filters:
    """Channels as the cost: each counts one."""

    sizes: tuple[int, ...]

    def cost(self, kept: Shares) -> float:
        """Channels that are left."""
        return float(np.dot(kept, self.sizes))

    def saved(self, kept: Shares, group: int, share: float) -> float:
        """Channels that go."""
        return float((kept[group] - share) * self.sizes[group])


def spread(
    curves: Sequence[Curve], limits: Sequence[Limits], costs: Costs, wanted: float
) -> list[int]:
    """Channels that each group keeps, so that the cost is near `wanted` at the least loss.

    Args:
        curves: What each group loses.
        limits: What each may keep.
        costs: What is to be reached.
        wanted: The cost to reach.

    Returns:
        A count per group. The cost stays above `wanted` only where that is out of reach, or
        where the last step would miss it by more.
    """
    allowed = [limit.kept(curve.size) for curve, limit in zip(curves, limits, strict=True)]
    corners = [_hull(curve, counts) for curve, counts in zip(curves, allowed, strict=True)]
    kept = [counts[0] for counts in allowed]
    sizes = [curve.size for curve in curves]
    shares = np.array([count / size for count, size in zip(kept, sizes, strict=True)])
    missing = costs.cost(shares) - wanted
    while missing > 0.0:
        rates = {
            group: _rate(curves[group], kept[group], ahead[0], shares, group, costs)
            for group, ahead in enumerate(corners)
            if ahead
        }
        if not rates:
            break
        group = min(rates, key=lambda g: (rates[g], g))
        count = corners[group].pop(0)
        between = [c for c in allowed[group] if count <= c < kept[group]]
        count = _nearest(between, sizes[group], shares, group, costs, missing)
        kept[group] = count
        shares[group] = count / sizes[group]
        missing = costs.cost(shares) - wanted
        if between and count != between[-1]:
            break
    return kept


def _rate(curve: Curve, kept: int, fewer: int, shares: Shares, group: int, costs: Costs) -> float:
    """Loss per cost of going down to a count; infinite where nothing is saved."""
    saved = costs.saved(shares, group, fewer / curve.size)
    lost = float(curve.loss[curve.size - fewer] - curve.loss[curve.size - kept])
    return lost / saved if saved > 0.0 else np.inf


def _nearest(
    counts: Sequence[int], size: int, shares: Shares, group: int, costs: Costs, missing: float
) -> int:
    """The last of some falling counts, or an earlier one if it saves nearer to what is missing."""
    if costs.saved(shares, group, counts[-1] / size) <= missing:
        return counts[-1]
    return min(counts, key=lambda c: abs(costs.saved(shares, group, c / size) - missing))


def _hull(curve: Curve, counts: Sequence[int]) -> list[int]:
    """The counts on the lower convex hull of the losses, falling, without the first."""
    points = [(curve.size - count, float(curve.loss[curve.size - count])) for count in counts]
    hull: list[tuple[int, float]] = []
    for point in points:
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return [curve.size - gone for gone, _ in hull[1:]]


def _above(first: tuple[int, float], middle: tuple[int, float], last: tuple[int, float]) -> bool:
    """Whether the middle point lies on or above the line through the others."""
    rise = (last[1] - first[1]) * (middle[0] - first[0])
    return (middle[1] - first[1]) * (last[0] - first[0]) >= rise


def evenly(curves: Sequence[Curve], limits: Sequence[Limits], ratio: float) -> list[int]:
    """Channels that each group keeps if all give the same share."""
    return [
        nearest_kept(curve.size, round(curve.size * (1.0 - ratio)), limit)
        for curve, limit in zip(curves, limits, strict=True)
    ]


def reachable(
    curves: Sequence[Curve], limits: Sequence[Limits], costs: Costs
) -> tuple[float, float]:
    """The lowest and the highest cost there is."""
    allowed = [limit.kept(curve.size) for curve, limit in zip(curves, limits, strict=True)]
    sizes = [curve.size for curve in curves]
    lowest = np.array([min(c) / size for c, size in zip(allowed, sizes, strict=True)])
    highest = np.array([c[0] / size for c, size in zip(allowed, sizes, strict=True)])
    return costs.cost(lowest), costs.cost(highest)
