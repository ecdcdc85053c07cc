"""From what is wished (filters, MACs, parameters, latency) to the channels that groups keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from onnxq.config import Prune
from onnxq.coupling import Group, Side
from onnxq.errors import PreconditionError
from onnxq.graph import Model
from onnxq.measure import count_macs, count_parameters
from onnxq.pruning import (
    Curve,
    Filters,
    Limits,
    Trial,
    Work,
    elements,
    evenly,
    reachable,
    solve,
    spread,
    work_of,
)

Name: TypeAlias = Literal["filters", "MACs", "parameters", "latency"]

_TOLERANCE: Mapping[Name, float] = {
    "filters": 0.0,
    "MACs": 0.005,
    "parameters": 0.005,
    "latency": 0.02,
}


@dataclass(frozen=True)
class Goal:
    """What a pruned model shall have left.

    Attributes:
        name: Of what.
        share: How much of it, 0 to 1.
    """

    name: Name
    share: float


def goal_of(settings: Prune) -> Goal | None:
    """The goal that a configuration names; None if its rules say everything."""
    if settings.ratio is not None:
        return Goal("filters", 1.0 - settings.ratio)
    wishes: tuple[tuple[Name, float | None], ...] = (
        ("MACs", settings.macs),
        ("parameters", settings.parameters),
        ("latency", settings.latency),
    )
    return next((Goal(name, share) for name, share in wishes if share is not None), None)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which channels go, and the model without them.

    Attributes:
        kept: Channels that each group keeps.
        removed: The numbers of those that go, by group.
        model: The model without them.
    """

    kept: tuple[int, ...]
    removed: Mapping[str, Sequence[int]]
    model: Model


@dataclass(frozen=True)
class Problem:
    """What there is to choose from.

    Attributes:
        model: The model.
        groups: Its groups of channels.
        curves: What each group loses.
        limits: What each may keep.
        distribution: Whether groups give what they can spare, or all the same share.
        build: Makes the model without some channels.
        time: Measures which share of the latency a model has left.
        dimensions: Sizes of free dimensions, for the MACs.
    """

    model: Model
    groups: Sequence[Group]
    curves: Sequence[Curve]
    limits: Sequence[Limits]
    distribution: Literal["guided", "even"]
    build: Callable[[Mapping[str, Sequence[int]]], Model]
    time: Callable[[Model], float]
    dimensions: Mapping[str, int]

    def choose(self, kept: Sequence[int]) -> Chosen:
        """The least important channels of each group, and the model without them."""
        removed = {
            group.name: curve.removed(group.size - count)
            for group, curve, count in zip(self.groups, self.curves, kept, strict=True)
            if count < group.size
        }
        return Chosen(tuple(kept), removed, self.build(removed))


def reach(problem: Problem, goal: Goal | None) -> tuple[Chosen, float]:
    """Choose channels so that a goal is reached; also the share that is left as measured.

    Raises:
        PreconditionError: if it is out of reach; it says what the range is.
    """
    if goal is None:
        chosen = problem.choose([limits.kept(g.size)[0] for g, limits in _pairs(problem)])
        return chosen, 1.0
    knob = _Knob(problem, goal)
    tolerance = _TOLERANCE[goal.name]
    lowest = knob.lowest()
    if lowest is not None and lowest.share > goal.share * (1.0 + tolerance):
        raise _out_of_reach(goal, lowest.share)
    found = solve(
        knob.make,
        knob.measure,
        goal.share,
        lowest=lowest,
        least_aim=knob.least,
        tolerance=tolerance,
        trials=1 if goal.name == "filters" else _TRIALS,
    )
    return found.made, found.share


def _out_of_reach(goal: Goal, lowest: float) -> PreconditionError:
    return PreconditionError(
        f"{goal.share:.0%} of the {goal.name} is out of reach",
        where="prune",
        why=f"what remains is between {lowest:.1%} and 100%, as far as channels can be removed",
        remedy="ask for less, or raise `prune.most`; `onnxq groups MODEL` says what is frozen",
    )


_TRIALS = 7

_CLEARLY = 0.8
"""Estimates leave out what products of two computed tensors cost, which is never so much."""


def _pairs(problem: Problem) -> list[tuple[Group, Limits]]:
    return list(zip(problem.groups, problem.limits, strict=True))


class _Knob:
    """The cost, as a share of the model's, that channels are distributed for.

    Attributes:
        least: The lowest share that there is, by the estimate.
    """

    def __init__(self, problem: Problem, goal: Goal) -> None:
        self._problem, self._goal = problem, goal
        proto = problem.model.to_proto()
        self._macs = count_macs(proto, problem.dimensions).macs
        self._parameters = count_parameters(proto).floating
        self._costs: Filters | Work
        if goal.name == "filters":
            self._costs = Filters(tuple(g.size for g in problem.groups))
            self._total = self._costs.cost(np.ones(len(problem.groups)))
        else:
            self._costs = self._work()
            self._total = self._costs.total
        least, _ = reachable(problem.curves, problem.limits, self._costs)
        self.least = least / max(self._total, 1.0) if problem.distribution == "guided" else 0.0

    def _work(self) -> Work:
        problem = self._problem
        shapes = {c.name: tuple(c.stored.shape) for c in problem.model.constants}
        if self._goal.name == "parameters":
            return work_of(problem.groups, shapes, elements(shapes), float(self._parameters))
        weights = macs_of_weights(problem.model, problem.groups, shapes, problem.dimensions)
        return work_of(problem.groups, shapes, weights, float(self._macs))

    def make(self, aim: float) -> Chosen:
        """Distribute for a cost."""
        problem = self._problem
        if problem.distribution == "even":
            return problem.choose(evenly(problem.curves, problem.limits, 1.0 - aim))
        wanted = aim * self._total
        return problem.choose(spread(problem.curves, problem.limits, self._costs, wanted))

    def lowest(self) -> Trial[Chosen] | None:
        """The least that can be left; None where that is certain to be enough."""
        certain = self._goal.name != "latency" and self._problem.distribution == "guided"
        if certain and self.least < self._goal.share * _CLEARLY:
            return None
        made = self._problem.choose([min(li.kept(g.size)) for g, li in _pairs(self._problem)])
        return Trial(self.least, made, self.measure(made))

    def measure(self, chosen: Chosen) -> float:
        """Which share is left."""
        return self._meters[self._goal.name](chosen)

    @property
    def _meters(self) -> Mapping[Name, Callable[[Chosen], float]]:
        return {
            "filters": lambda made: sum(made.kept) / sum(g.size for g in self._problem.groups),
            "MACs": lambda made: (
                count_macs(made.model.to_proto(), self._problem.dimensions).macs
                / max(self._macs, 1)
            ),
            "parameters": lambda made: (
                count_parameters(made.model.to_proto()).floating / max(self._parameters, 1)
            ),
            "latency": lambda made: self._problem.time(made.model),
        }


def macs_of_weights(
    model: Model,
    groups: Sequence[Group],
    shapes: Mapping[str, tuple[int, ...]],
    dimensions: Mapping[str, int],
) -> dict[str, float]:
    """The MACs that each weight of the groups is used for, by its name.

    Those of a layer with several weights are divided by their sizes.
    """
    weights: dict[str, set[str]] = {}
    for member in (m for g in groups for m in g.members if m.side is not Side.BESIDE):
        for node in member.nodes:
            weights.setdefault(node, set()).add(member.tensor)
    size = elements(shapes)
    found: dict[str, float] = {}
    for cost in count_macs(model.to_proto(), dimensions).nodes:
        names = weights.get(cost.node, set())
        total = sum(size[name] for name in names)
        for name in names:
            found[name] = found.get(name, 0.0) + cost.macs * size[name] / total
    return found
