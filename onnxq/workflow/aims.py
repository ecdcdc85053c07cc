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
    "standard": 26.0,
    "thorough": 26.0,
}
"""SQNR in dB that is aimed at without a budget: errors of a twentieth of the signal."""

LADDER = (15.0, 18.0, 20.0, 22.0, 24.0, 26.0, 28.0, 30.0, 33.0, 36.0, 40.0, 50.0)
"""SQNR in dB to try one after another, where the budget limits something else."""

Measured = tuple[Mapping[str, Fidelity], tuple[Accuracy, Accuracy] | None]


@dataclass(frozen=True)
class Aim:
    """Values of SQNR to try, and when to stop.

    Attributes:
        ladder: In dB, from low to high.
        holds: Whether the budget holds with what was measured; None where there is none.
        demanded: Whether the user set a budget.
        rate: Least gain in dB for a hundredth of the time; 0 where the aim must be reached.
    """

    ladder: tuple[float, ...]
    holds: Callable[[Measured], bool] | None
    demanded: bool
    rate: float


_MARGIN = 0.5
"""What is asked of the probes above the budget, as other samples differ a little."""

_BEYOND = (0.0, 2.0, 4.0, 7.0, 10.0, 15.0)
"""What more to aim at in dB, one after another, until a budget of SQNR holds."""

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
    if metric != "sqnr":
        return Aim(LADDER, _within(budget), demanded=True, rate=0.0)
    if budget.minimum is None:
        return None
    # Behind a Softmax the SQNR is another than before it, where the aim is measured.
    wanted = budget.minimum + _MARGIN
    ladder = tuple(wanted + more for more in _BEYOND)
    limit = _within(budget.model_copy(update={"minimum": wanted}))
    return Aim(ladder, limit, demanded=True, rate=0.0)


def _within(budget: Budget) -> Callable[[Measured], bool]:
    def holds(measured: Measured) -> bool:
        fidelity, accuracy = measured
        finding = judge_quality(budget, accuracy, fidelity)
        return finding is None or finding.passed is not False

    return holds
