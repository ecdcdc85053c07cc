"""What a training is given, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from onnxq.config import Finetune
from onnxq.training.distributed import Processes
from onnxq.training.losses import Losses
from onnxq.training.samples import Samples
from onnxq.training.student import Original, Student

_EPOCHS, _FEWEST_STEPS = 10, 300


class Report(Protocol):
    """Is told how far the training is."""

    def __call__(self, step: int, total: int, figures: Mapping[str, float]) -> None:
        """`figures` holds the loss, the held-out loss (`metric`) and the seconds `left`."""


def unheard(step: int, total: int, figures: Mapping[str, float]) -> None:
    """A report to nobody."""
    del step, total, figures


@dataclass(frozen=True)
class Evaluation:
    """One look at the held-out samples.

    Attributes:
        step: Steps done.
        loss: Mean training loss since the evaluation before.
        held_out: The metric on the held-out samples; lower is better.
        rate: Factor on the learning rate.
    """

    step: int
    loss: float
    held_out: float
    rate: float


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to; the network holds the best state.

    Attributes:
        steps: Steps done.
        best_step: The step after which the held-out metric was lowest.
        start: The metric before the first step.
        best: The lowest one.
        history: All evaluations.
        stopped: Why it ended before the last step; empty if it did not.
        seconds: Time spent, that of earlier runs included.
    """

    steps: int
    best_step: int
    start: float
    best: float
    history: tuple[Evaluation, ...]
    stopped: str
    seconds: float


@dataclass(frozen=True)
class Task:
    """Everything that a training is given.

    Attributes:
        student: What learns.
        original: The untouched model; None if no loss compares with it.
        losses: What is minimised.
        train: Samples to learn from.
        held_out: Samples to measure on; none: the last state is kept.
        settings: How to train.
        seed: Of everything random.
        device: Where.
        processes: Who else trains.
        key: Tells this training from others, for its checkpoint.
        metric: Called with the network on evaluation; by default the held-out loss.
    """

    student: Student
    original: Original | None
    losses: Losses
    train: Samples
    held_out: Samples
    settings: Finetune
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    processes: Processes = field(default_factory=Processes)
    key: str = ""
    metric: Callable[[nn.Module], float] | None = None

    @property
    def batch(self) -> int:
        """Samples per step, over all processes."""
        return min(self.settings.batch, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every sample is seen once; the last incomplete batch is left out."""
        return max(len(self.train) // self.batch, 1)

    @property
    def steps(self) -> int:
        """All steps."""
        if self.settings.steps is not None:
            return self.settings.steps
        if self.settings.epochs is None:
            return max(_EPOCHS * self.steps_per_epoch, _FEWEST_STEPS)
        return max(round(self.settings.epochs * self.steps_per_epoch), 1)
