"""What accuracy control aims at: the budget of the user, or what the effort is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxq.config import Budget, Config, Effort
from onnxq.measure import Accuracy, Fidelity
from onnxq.workflow.verdict import judge_quality

WORTH: Mapping[Effort, float | None] = {
    "none": None,
    "quick": None,
    "standard": 24.0,
    "thorough": 24.0,
}
"""SQNR in dB that is aimed at without a budget: errors of a sixteenth of the signal."""

LADDER = (15.0, 18.0, 20.0, 22.0, 24.0, 26.0, 28.0, 30.0, 33.0, 36.0, 40.0, 50.0)
"""SQNR in dB to try one after another, where the budget limits something else."""

Measured = tuple[Mapping[str, Fidelity], tuple[Accuracy, Accuracy] | None]


@dataclass(frozen=True)
class Aim:
    """Values of SQNR to try, and when to stop.

    Attributes:
        ladder: In dB, from low to high.
        holds: Whether the budget holds with what was measured; None where an SQNR is all that
            is asked for.
        demanded: Whether the user set a budget.
        rate: Least gain in dB for a hundredth of the time; 0 where the aim must be reached.
    """

    ladder: tuple[float, ...]
    holds: Callable[[Measured], bool] | None
    demanded: bool
    rate: float


_MARGIN = 0.5
"""What is asked of the probes above the budget, as other samples differ a little."""

_RATE = 0.2


def aim_of(config: Config) -> Aim | None:
    """The aim of a configuration; None if layers need not return."""
    budget = config.budget
    if config.effort == "none":
        return None
    if budget.minimum is None and budget.max_drop is None:
        wanted = WORTH[config.effort]
        return None if wanted is None else Aim((wanted,), None, demanded=False, rate=_RATE)
    metric = budget.metric or ("accuracy" if config.evaluate.labels else "sqnr")
    if metric == "sqnr":
        return (
            None
            if budget.minimum is None
            else Aim((budget.minimum + _MARGIN,), None, demanded=True, rate=0.0)
        )
    return Aim(LADDER, _within(budget), demanded=True, rate=0.0)


def _within(budget: Budget) -> Callable[[Measured], bool]:
    def holds(measured: Measured) -> bool:
        fidelity, accuracy = measured
        finding = judge_quality(budget, accuracy, fidelity)
        return finding is None or finding.passed is not False

    return holds
