"""The points of a study, read from its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from onnxq.config import ObjectiveName
from onnxq.search.figures import Figures, costs, front_of
from onnxq.search.result import Point, State

_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: State.MEASURED,
    TrialState.PRUNED: State.GIVEN_UP,
}


def _point(trial: FrozenTrial, limit: float | None) -> Point:
    facts = trial.user_attrs.get("figures")
    figures = None if facts is None else Figures.of(facts)
    return Point(
        number=trial.number,
        origin=str(trial.user_attrs.get("origin", "")),
        values=dict(trial.params),
        state=_STATES[trial.state],
        figures=figures,
        within=limit is None or (figures is not None and figures.loss <= limit),
        reason=str(trial.user_attrs.get("reason", "")),
        twin=trial.user_attrs.get("twin"),
    )


def gave(trial: FrozenTrial, digest: str) -> bool:
    """Whether a trial was the first that gave the model with a digest."""
    known = trial.state == TrialState.COMPLETE and trial.user_attrs.get("twin") is None
    return known and trial.user_attrs.get("digest") == digest


def points_of(trials: Sequence[FrozenTrial], limit: float | None) -> list[Point]:
    """Everything that was tried, by all processes.

    Args:
        trials: Of the study.
        limit: The largest loss that is within the budget; None if any is.
    """
    return [_point(trial, limit) for trial in trials if trial.state in _STATES]


def front_numbers(points: Sequence[Point], objectives: Sequence[ObjectiveName]) -> list[int]:
    """Those within the budget that no other dominates."""
    known = {
        point.number: costs(point.measured, objectives)
        for point in points
        if point.measured is not None and point.within
    }
    return front_of(known)
