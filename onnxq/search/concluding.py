"""The end of a search: the front, the point to take, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxq.config import Config
from onnxq.graph import Model
from onnxq.measure import Speedup
from onnxq.search.building import Builder
from onnxq.search.dimensions import Choice
from onnxq.search.figures import costs
from onnxq.search.keeping import Keeper, comment
from onnxq.search.points import front_numbers
from onnxq.search.racing import DECIBELS, race, rivals, winners
from onnxq.search.result import Point, SearchResult
from onnxq.search.scoring import Scorer
from onnxq.search.space import SearchSpace
from onnxq.search.starts import DEFAULT_ORIGIN


@dataclass(frozen=True)
class Conclusion:
    """What is known when no more is tried.

    Attributes:
        base: The user's wishes for all trials.
        default: The default recipe.
        space: What could be chosen.
        builder: Builds what another process measured.
        scorer: Knows what quality is.
        keeper: Keeps the files.
        limit: The largest loss that is within the budget; None if any is.
        notes: What the user should know.
    """

    base: Config
    default: Config
    space: SearchSpace
    builder: Builder
    scorer: Scorer
    keeper: Keeper
    limit: float | None
    notes: tuple[str, ...]

    def of(self, points: Sequence[Point], seconds: Mapping[str, float]) -> SearchResult:
        """The result; the files in the folder are those of the front and the default recipe."""
        objectives = self.scorer.objectives
        front = front_numbers(points, objectives)
        default = next((p for p in points if p.origin == DEFAULT_ORIGIN), None)
        candidates = [] if default is None else rivals(points, default, objectives)
        ends = [] if default is None else [default]
        kept = {p.number: p for p in points if p.number in front} | {
            p.number: p for p in (*candidates, *ends)
        }
        for point in kept.values():
            self._complete(point)
        speedups = self._race(default, candidates)
        least = DECIBELS if self.scorer.metric == "sqnr" else 0.0
        best = [n for d in ends for n in winners(candidates, d, objectives, speedups, least)]
        answer = self._answer(points, front, default, best)
        self.keeper.drop_others(kept.keys())
        if answer is not None:
            self._take(kept[answer])
        return SearchResult(
            metric=self.scorer.metric,
            judged_on=self.scorer.origin,
            objectives=objectives,
            dimensions={
                d.name: len(d.options) if isinstance(d, Choice) else 0
                for d in self.space.dimensions
            },
            points=points,
            front=front,
            default=None if default is None else default.number,
            answer=answer,
            dominating=best,
            race=speedups,
            limit=None if self.limit is None else self._as_quality(self.limit),
            files={number: self._names(number) for number in sorted(kept)},
            warnings=self.notes,
            seconds=seconds,
        )

    def _as_quality(self, loss: float) -> float:
        return loss if self.scorer.loss(1.0) > 0 else -loss

    def _names(self, number: int) -> tuple[str, str]:
        model, config = self.keeper.files(number)
        return str(model), str(config)

    def _complete(self, point: Point) -> None:
        def build() -> tuple[Model, Config, str]:
            config = self.space.config(point.values, self.default)
            return self.builder.build(config), config, self._comment(point)

        self.keeper.complete(point.number, build)

    def _take(self, point: Point) -> None:
        config = self.space.config(point.values, self.default)
        self.keeper.take(point.number, config, self._comment(point))

    def _race(self, default: Point | None, candidates: Sequence[Point]) -> dict[int, Speedup]:
        if default is None or not candidates or not self.scorer.times:
            return {}
        models = {p.number: self.keeper.model(p.number) for p in candidates}
        base = self.keeper.model(default.number)
        return race(base, models, self.scorer.samples[0], self.base.threads)

    def _answer(
        self,
        points: Sequence[Point],
        front: Sequence[int],
        default: Point | None,
        best: Sequence[int],
    ) -> int | None:
        if len(self.scorer.objectives) > 1 and best:
            return best[0]
        if len(self.scorer.objectives) > 1 and default is not None and default.within:
            return default.number
        whole = {p.number: p.measured for p in points}
        known = {n: f for n in front if (f := whole[n]) is not None}
        return min(known, key=lambda n: costs(known[n], self.scorer.objectives), default=None)

    def _comment(self, point: Point) -> str:
        if point.figures is None:
            return ""
        return comment(point.number, self.scorer.metric, point.figures)
