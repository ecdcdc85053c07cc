"""Learning rates over the course of a training, as factors on the highest one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from onnxq.config import Constant, Cosine, Finetune, Plateau, Steps

_USUAL_RATE = 3e-5
"""Published fine-tunings for 8 bits use 1e-6 to 1e-4."""

_TOO_HIGH = 100


def factor(settings: Finetune, step: int, total: int, falls: int) -> float:
    """Factor on the learning rate at a step.

    Args:
        settings: Schedule and warm-up.
        step: Counted from 0.
        total: Number of steps.
        falls: How often a plateau was met so far.
    """
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(total - warm, 1)
    match settings.schedule:
        case Constant():
            return 1.0
        case Cosine(end=end):
            return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))
        case Steps(at=places, factor=each):
            return each ** sum(step >= place * total for place in places)
        case Plateau(factor=each):
            return each**falls


@dataclass
class Watch:
    """Watches a metric that shall fall.

    Attributes:
        best: The lowest value so far.
        waited: Evaluations since then.
        falls: How often `Plateau` lowered the rate.
    """

    best: float = math.inf
    waited: int = 0
    falls: int = 0
    _since_fall: int = field(default=0, repr=False)

    def see(self, value: float, settings: Finetune) -> bool:
        """Take a value in; true if it is the best so far."""
        if value < self.best:
            self.best, self.waited, self._since_fall = value, 0, 0
            return True
        self.waited += 1
        self._since_fall += 1
        schedule = settings.schedule
        if isinstance(schedule, Plateau) and self._since_fall > schedule.patience:
            self.falls, self._since_fall = self.falls + 1, 0
        return False

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "best": self.best,
            "waited": self.waited,
            "falls": self.falls,
            "since_fall": self._since_fall,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Watch:
        """From a checkpoint."""
        return cls(state["best"], state["waited"], state["falls"], state["since_fall"])


def rate_warning(settings: Finetune) -> str | None:
    """What to tell a user whose learning rate destroys what the model has learned."""
    if settings.rate < _TOO_HIGH * _USUAL_RATE:
        return None
    return (
        f"finetune.rate {settings.rate:g} is {settings.rate / _USUAL_RATE:.0f} times what trained "
        f"models are usually fine-tuned with ({_USUAL_RATE:g}): it suits training from scratch"
    )
