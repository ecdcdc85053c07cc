"""Which points beat the default recipe: a longer race, in which all take turns with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxq.config import ObjectiveName
from onnxq.engine import Feed
from onnxq.graph import Model
from onnxq.measure import Speedup, measure_latency, timed_run
from onnxq.search.figures import Figures, costs, dominates
from onnxq.search.result import Point

_AT_ONCE = 8
"""Points that race; each holds its weights once more."""

_ROUNDS, _SECONDS_EACH = 120, 1.5

_NOISE = 1.05
"""By how much the latency measured in a trial may be too high."""

_EVEN, _FASTER = 0.99, 1.02
"""Speed-ups below the one are losses, and those above the other gains, if they are proven."""

DECIBELS = 0.1
"""What SQNR must gain to count: other samples change it as much."""


def rivals(
    points: Sequence[Point], default: Point, objectives: Sequence[ObjectiveName]
) -> list[Point]:
    """Points that may beat the default recipe: they lose nowhere, but for noise in latency."""
    exact = [name for name in objectives if name != "latency"]
    base = default.measured
    if base is None:
        return []
    found = []
    for point in points:
        figures = point.measured
        if figures is None or point.number == default.number or point.twin is not None:
            continue
        pairs = zip(costs(figures, exact), costs(base, exact), strict=True)
        if not point.within or any(a > b for a, b in pairs):
            continue
        if _slower(figures.latency, base.latency):
            continue
        if "latency" in objectives or dominates(costs(figures, exact), costs(base, exact)):
            found.append(point)
    return sorted(found, key=lambda p: (p.measured.latency or 0.0) if p.measured else 0.0)[
        :_AT_ONCE
    ]


def _slower(latency: float | None, base: float | None) -> bool:
    return latency is not None and base is not None and latency > _NOISE * base


def race(
    default: Model, models: Mapping[int, Model], feed: Feed, threads: int
) -> dict[int, Speedup]:
    """Speed-ups over the default recipe."""
    runs = {"default": timed_run(default, feed, threads=threads)}
    runs |= {
        str(number): timed_run(model, feed, threads=threads) for number, model in models.items()
    }
    found = measure_latency(runs, rounds=_ROUNDS, budget_seconds=_SECONDS_EACH * len(runs))
    return {int(speedup.name): speedup for speedup in found.speedups[1:]}


def winners(
    candidates: Sequence[Point],
    default: Point,
    objectives: Sequence[ObjectiveName],
    speedups: Mapping[int, Speedup],
    least: float,
) -> list[int]:
    """Those that win in an objective and lose in none, the fastest first.

    Args:
        candidates: What `rivals` gave.
        default: The default recipe.
        objectives: What is looked for.
        speedups: Over the default recipe; empty if latency does not count.
        least: What quality must gain to count as better.
    """
    exact = [name for name in objectives if name != "latency"]
    base = default.measured
    found = []
    for point in candidates:
        figures, speedup = point.measured, speedups.get(point.number)
        if figures is None or base is None:
            continue
        if speedup is not None and (speedup.high < 1.0 or speedup.value < _EVEN):
            continue
        if _faster(speedup) or any(_gains(figures, base, name, least) for name in exact):
            found.append(point)
    order = {point.number: place for place, point in enumerate(found)}
    return sorted(
        order,
        key=lambda n: (-speedups[n].value if n in speedups else 0.0, order[n]),
    )


def _faster(speedup: Speedup | None) -> bool:
    return speedup is not None and speedup.low > 1.0 and speedup.value >= _FASTER


def _gains(figures: Figures, base: Figures, name: ObjectiveName, least: float) -> bool:
    (now,), (before,) = costs(figures, [name]), costs(base, [name])
    return now < before - (least if name == "quality" else 0.0)
