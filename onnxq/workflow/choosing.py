"""The ranges of a plan: by the method asked for, or by trying several on the whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxq.calibration import (
    RangeRequest,
    Ranges,
    Statistics,
    activation_parameters,
    describe,
    estimate_ranges,
)
from onnxq.config import Auto, Method, RangeMethod
from onnxq.engine import Feed, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, copy_model
from onnxq.measure import Fidelity, compare_outputs
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes, nearest_codes
from onnxq.plan import Plan
from onnxq.quant import QParams


@dataclass(frozen=True)
class Trial:
    """One way of choosing scales, tried on the whole model.

    Attributes:
        method: The range method, as text.
        weight_search: How weight scales were chosen.
        sqnr: Mean over the outputs in dB on a few calibration samples; None if not measured.
        activations: Whether HardSwish and its like ran in integers or stayed float, if there
            was a choice.
    """

    method: str
    weight_search: str
    sqnr: float | None
    activations: str = ""


@dataclass(frozen=True)
class Choice:
    """The ranges taken, and what was tried for them."""

    ranges: Ranges
    search_weights: bool
    trials: tuple[Trial, ...]

    @property
    def sqnr(self) -> float | None:
        """That of the best trial."""
        return max((t.sqnr for t in self.trials if t.sqnr is not None), default=None)


def choose_ranges(
    model: Model,
    plan: Plan,
    statistics: Statistics,
    method: Method,
    search: str | None,
    probes: Sequence[Feed],
    feeds: str,
) -> Choice:
    """Estimate the ranges of every activation in `plan`.

    Args:
        model: The float model; it is not changed.
        plan: What is quantized.
        statistics: What calibration saw, with histograms if `method` reads them.
        method: One method, or `Auto` to try several.
        search: How weight scales are chosen: `min-max`, `mse`, or None to let trials decide
            (min-max where nothing is tried).
        probes: Samples for the trials.
        feeds: Where the samples came from, to be noted in the ranges.
    """
    if isinstance(method, Auto) and not plan.integer_nodes:
        method = method.candidates[0]  # All would give the same model.
    if not isinstance(method, Auto):
        ranges = _estimate(plan, statistics, method, feeds)
        return Choice(
            ranges, search == "mse", (Trial(describe(method), search or "min-max", None),)
        )
    return _best(model, plan, statistics, method.candidates, search, probes, feeds)


def _best(
    model: Model,
    plan: Plan,
    statistics: Statistics,
    candidates: Sequence[RangeMethod],
    search: str | None,
    probes: Sequence[Feed],
    feeds: str,
) -> Choice:
    """First the range method with covering weight scales, then the weight search for it."""
    judge = _Judge(model, plan, probes)
    options = {describe(c): _estimate(plan, statistics, c, feeds) for c in candidates}
    first = search or "min-max"
    trials = [
        Trial(name, first, judge.sqnr(ranges, search=first == "mse"))
        for name, ranges in options.items()
    ]
    best = max(trials, key=_score)
    if search is None:
        trials.append(Trial(best.method, "mse", judge.sqnr(options[best.method], search=True)))
        best = max(trials, key=_score)
    return Choice(options[best.method], best.weight_search == "mse", tuple(trials))


def _score(trial: Trial) -> float:
    return -np.inf if trial.sqnr is None else trial.sqnr


def _estimate(plan: Plan, statistics: Statistics, method: RangeMethod, feeds: str) -> Ranges:
    requests = {
        name: RangeRequest(
            method,
            a.scheme,
            (
                -np.inf if a.low is None else a.low,
                np.inf if a.high is None else a.high,
            ),
        )
        for name, a in plan.activations.items()
    }
    return estimate_ranges(statistics, requests, model=plan.model, feeds=feeds)


def parameters_of(plan: Plan, ranges: Ranges) -> dict[str, QParams]:
    """Scale and zero point of every activation in the plan."""
    return activation_parameters(plan, {n: (r.low, r.high) for n, r in ranges.ranges.items()})


def insert(model: Model, plan: Plan, ranges: Ranges, *, search_weights: bool) -> Model:
    """Carry the plan out on a copy of `model`; the copy is returned."""
    copy, parameters = copy_model(model), parameters_of(plan, ranges)
    weights = nearest_codes(model, plan, parameters, search=search_weights)
    apply_passes(copy, [InsertQDQ(plan, parameters, weights), DeduplicateConstants()])
    return copy


class _Judge:
    """Compares a quantized form with the float model on the probes."""

    def __init__(self, model: Model, plan: Plan, probes: Sequence[Feed]) -> None:
        self._model, self._plan = model, plan
        run_once = runner(open_session(model))
        self._outputs = [(feed, run_once(feed)) for feed in probes]

    def sqnr(self, ranges: Ranges, *, search: bool) -> float | None:
        """Mean SQNR of the float outputs in dB; None if the result does not run."""
        try:
            quantized = insert(self._model, self._plan, ranges, search_weights=search)
            run_once = runner(open_session(quantized))
            expected = iter(outputs for _, outputs in self._outputs)
            feeds = [feed for feed, _ in self._outputs]
            found = compare_outputs(lambda _: next(expected), run_once, feeds)
        except ModelError:
            return None
        return mean_sqnr(found)


def mean_sqnr(fidelity: Mapping[str, Fidelity]) -> float | None:
    """Mean over the outputs that have one, each capped at 100 dB so that none hides others."""
    values = [min(f.sqnr, 100.0) for f in fidelity.values() if f.sqnr is not None]
    return float(np.mean(values)) if values else None
