"""The result of a search: everything that was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from onnxq.config import ObjectiveName
from onnxq.measure import Speedup
from onnxq.search.dimensions import Values
from onnxq.search.figures import Figures

VERSION = 1


class State(Enum):
    """How far a trial came."""

    MEASURED = "measured"
    GIVEN_UP = "given up"


@dataclass(frozen=True)
class Point:
    """A trial.

    Attributes:
        number: Of the trial in its study.
        origin: What it was tried for, such as `default recipe`; empty if it was proposed.
        values: What it chose, by dimension.
        state: How far it came.
        figures: What was measured; None if nothing was.
        within: Whether it keeps to the budget.
        reason: Why it was given up.
        twin: The trial that gave the same model before; None if none did.
    """

    number: int
    origin: str
    values: Values
    state: State
    figures: Figures | None
    within: bool = True
    reason: str = ""
    twin: int | None = None

    @property
    def measured(self) -> Figures | None:
        """The figures, if they are whole."""
        return self.figures if self.state is State.MEASURED else None

    def changes(self, default: Values) -> dict[str, Any]:
        """What it chose otherwise."""
        return {name: value for name, value in self.values.items() if value != default.get(name)}


@dataclass(frozen=True)
class SearchResult:
    """What `search` returns.

    Attributes:
        metric: What quality is.
        judged_on: On which samples.
        objectives: What was looked for.
        dimensions: How many choices each dimension has; 0: a number between two.
        points: All trials, by number.
        front: Numbers of those within the budget that no other dominates.
        default: Number of the default recipe; None if it was not measured.
        answer: Number of the point to take; None if none is within the budget.
        dominating: Numbers of the points that beat the default recipe in an objective and lose
            to it in none, latency beyond noise; raced against it.
        race: Their speed-ups over the default recipe.
        limit: The lowest quality that was allowed; None if any was.
        files: Model and configuration of each point that was kept, by its number.
        warnings: What the user should know.
        seconds: Time by stage, of this process.
    """

    metric: str
    judged_on: str
    objectives: Sequence[ObjectiveName]
    dimensions: Mapping[str, int]
    points: Sequence[Point] = field(repr=False)
    front: Sequence[int]
    default: int | None
    answer: int | None
    dominating: Sequence[int]
    race: Mapping[int, Speedup]
    limit: float | None
    files: Mapping[int, tuple[str, str]]
    warnings: Sequence[str]
    seconds: Mapping[str, float]

    @property
    def success(self) -> bool:
        """Whether there is a point within the budget."""
        return self.answer is not None

    def point(self, number: int) -> Point:
        """A trial by its number."""
        return next(point for point in self.points if point.number == number)

    def to_dict(self) -> dict[str, Any]:
        """The whole result as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "metric": self.metric,
            "judged_on": self.judged_on,
            "objectives": list(self.objectives),
            "limit": self.limit,
            "default": self.default,
            "answer": self.answer,
            "front": list(self.front),
            "dominating": list(self.dominating),
            "race": {str(number): asdict(speedup) for number, speedup in self.race.items()},
            "dimensions": dict(self.dimensions),
            "points": [_facts(point) for point in self.points],
            "files": {str(number): list(pair) for number, pair in self.files.items()},
            "warnings": list(self.warnings),
            "seconds": dict(self.seconds),
        }


def _facts(point: Point) -> dict[str, Any]:
    return {
        "number": point.number,
        "origin": point.origin,
        "values": dict(point.values),
        "state": point.state.value,
        "figures": None if point.figures is None else point.figures.facts,
        "within": point.within,
        "reason": point.reason,
        "twin": point.twin,
    }
