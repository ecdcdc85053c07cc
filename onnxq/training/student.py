"""What is trained: a network, and which of its parameters are what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from onnxq.config import Finetune

Tensors = Mapping[str, Tensor]
Original = Callable[[Tensors], Tensors]
"""The untouched model: from inputs to the outputs and features that losses compare."""


class Hook(Protocol):
    """Takes part in every step."""

    def before_step(self, step: int, total: int) -> None:
        """Called before step `step`, counted from 0."""

    def after_step(self, step: int, total: int) -> None:
        """Called when the parameters have been moved."""

    def penalty(self, step: int, total: int) -> Tensor | None:
        """What the hook adds to the loss, if anything."""


class QuietHook:
    """A hook that does nothing, to be overridden where something is to be done."""

    def before_step(self, step: int, total: int) -> None:
        """Nothing."""

    def after_step(self, step: int, total: int) -> None:
        """Nothing."""

    def penalty(self, step: int, total: int) -> Tensor | None:
        """Nothing."""
        return None


@dataclass(frozen=True)
class Student:
    """A network that learns.

    Attributes:
        network: From inputs to outputs and features, both by name.
        weights: Its weights and biases, by initializer.
        scales: Parameters of its quantizers.
        clips: Those of them that have an L2 penalty of their own (PACT).
        hooks: Take part in every step.
    """

    network: nn.Module
    weights: Mapping[str, nn.Parameter]
    scales: Sequence[nn.Parameter] = ()
    clips: Sequence[nn.Parameter] = ()
    hooks: Sequence[Hook] = field(default=())


def make_optimizer(student: Student, settings: Finetune) -> torch.optim.Optimizer:
    """The optimizer; parameters that are not to learn lose their gradient."""
    weights = _learning(student.weights.values(), settings.train != "scales")
    scales = _learning(student.scales, settings.train != "weights")
    clips = _learning(student.clips, settings.train != "weights")
    penalty = settings.quantization.pact_decay if settings.quantization else 0.0
    groups = [
        {"params": weights, "lr": settings.rate, "weight_decay": settings.weight_decay},
        {"params": scales, "lr": settings.scale_rate, "weight_decay": 0.0},
        {"params": clips, "lr": settings.scale_rate, "weight_decay": penalty},
    ]
    groups = [group for group in groups if group["params"]]
    match settings.optimizer:
        case "adam":
            return torch.optim.Adam(groups)
        case "adamw":
            return torch.optim.AdamW(groups)
        case "sgd":
            return torch.optim.SGD(groups, momentum=settings.momentum)


def _learning(parameters: Iterable[nn.Parameter], wanted: bool) -> list[nn.Parameter]:
    found = list(parameters)
    for parameter in found:
        parameter.requires_grad_(wanted and parameter.requires_grad)
    return [p for p in found if p.requires_grad]
