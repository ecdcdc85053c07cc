"""Find the setting of a knob that makes a measured share what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Made = TypeVar("Made")


@dataclass(frozen=True)
class Trial(Generic[Made]):
    """One setting and what came of it.

    Attributes:
        aim: The setting.
        made: What was made with it.
        share: What was measured.
    """

    aim: float
    made: Made
    share: float


def solve(
    make: Callable[[float], Made],
    measure: Callable[[Made], float],
    wanted: float,
    *,
    lowest: Trial[Made] | None = None,
    least_aim: float = 0.0,
    tolerance: float = 0.005,
    trials: int = 6,
) -> Trial[Made]:
    """Turn a knob until a share is measured; what is measured rises with the knob.

    The first trial sets the knob to the share itself; from there regula falsi between the trials
    that enclose it.

    Args:
        make: Makes something at a setting between `least_aim` and 1.
        measure: Measures it; 1 at setting 1.
        wanted: The share.
        lowest: The trial at `least_aim`, if it was made already.
        least_aim: Lower end of the knob.
        tolerance: Difference, relative to the share wanted, that is good enough.
        trials: At most so many.

    Returns:
        The trial that came nearest.
    """
    low = (least_aim, 0.0) if lowest is None else (lowest.aim, lowest.share)
    high = (1.0, 1.0)
    found = [] if lowest is None else [lowest]
    aim = min(max(wanted, least_aim), 1.0)
    for _ in range(trials):
        made = make(aim)
        trial = Trial(aim, made, measure(made))
        found.append(trial)
        if abs(trial.share - wanted) <= tolerance * wanted:
            break
        if trial.share > wanted:
            high = aim, trial.share
        else:
            low = aim, trial.share
        following = _between(low, high, wanted)
        if abs(following - aim) < _SMALLEST_MOVE:
            break
        aim = following
    return min(found, key=lambda trial: abs(trial.share - wanted))


_SMALLEST_MOVE = 1e-4


def _between(low: tuple[float, float], high: tuple[float, float], wanted: float) -> float:
    """Where the line through two points has a value; well inside, so that both ends move."""
    if high[1] <= low[1]:
        return (low[0] + high[0]) / 2
    part = (wanted - low[1]) / (high[1] - low[1])
    return low[0] + min(max(part, 0.05), 0.95) * (high[0] - low[0])
