"""What a row of the comparison asks for, and whether it was reached.

A figure that meets its limit reaches the goal. One with an interval misses it only if the whole
interval lies on the wrong side of the limit, and of the limit's own interval; between the two
the run was too noisy to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]
"""All figures of one tool; those by threads are named `speedup.1`, `speedup.1.low` and so on."""

NAMES = {
    "sqnr": "SQNR",
    "agreement": "top-1 agreement",
    "strings": "strings kept",
    "characters": "characters kept",
    "iou": "mask IoU",
    "neighbours": "neighbour agreement",
    "accuracy_lost": "accuracy lost",
    "megabytes": "MB",
    "bits_per_weight": "bits per weight",
    "seconds": "seconds",
    "exit_code": "exit code",
    "speedup.1": "speed-up, one thread",
    "speedup.2": "speed-up, two threads",
}


@dataclass(frozen=True)
class Measured:
    """A figure with its interval, which is the figure itself where there is none."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Measured:
        """All multiplied by a positive number."""
        return Measured(*(factor * end for end in (self.value, self.low, self.high)))

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g}–{self.high:.4g})"


@dataclass(frozen=True)
class AtLeast:
    """The figure is no less than `value`, or than `value` times that of the tool `of`."""

    tool: str
    figure: str
    value: float
    of: str = ""

    sign = "≥"

    def met(self, own: Measured, limit: Measured) -> bool | None:
        """Whether it holds; None if the intervals leave it open."""
        if own.value >= limit.value:
            return True
        return False if own.high < limit.low else None


@dataclass(frozen=True)
class AtMost:
    """The figure is no more than `value`, or than `value` times that of the tool `of`."""

    tool: str
    figure: str
    value: float
    of: str = ""

    sign = "≤"

    def met(self, own: Measured, limit: Measured) -> bool | None:
        """Whether it holds; None if the intervals leave it open."""
        if own.value <= limit.value:
            return True
        return False if own.low > limit.high else None


Goal = AtLeast | AtMost


def verdict(goal: Goal, figures: Mapping[str, Figures]) -> bool | None:
    """Whether a goal was reached; None if a figure is missing or too noisy to tell."""
    own, limit = _measured(goal.tool, goal, figures), _limit(goal, figures)
    return None if own is None or limit is None else goal.met(own, limit)


def describe(goal: Goal, figures: Mapping[str, Figures]) -> str:
    """The goal in words, and what was measured."""
    limit = f"{goal.value:g}"
    if goal.of:
        times = "" if goal.value == 1 else f"{goal.value:g} × "
        limit = f"{times}{goal.of} ({_text(_measured(goal.of, goal, figures))})"
    own = _text(_measured(goal.tool, goal, figures))
    return f"{goal.tool}: {NAMES[goal.figure]} {goal.sign} {limit}, is {own}"


def _limit(goal: Goal, figures: Mapping[str, Figures]) -> Measured | None:
    if not goal.of:
        return Measured(goal.value, goal.value, goal.value)
    other = _measured(goal.of, goal, figures)
    return None if other is None else other.times(goal.value)


def _measured(tool: str, goal: Goal, figures: Mapping[str, Figures]) -> Measured | None:
    found = figures.get(tool, {})
    value = found.get(goal.figure)
    if value is None:
        return None
    ends = (float(found.get(f"{goal.figure}.{end}", value)) for end in ("low", "high"))
    return Measured(float(value), *ends)


def _text(measured: Measured | None) -> str:
    return "not measured" if measured is None else str(measured)
