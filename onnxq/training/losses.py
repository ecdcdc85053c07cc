"""What training minimises: the distance to the original model, to labels, or a user's own measure.

Distillation needs no labels, since the untouched original says what is right (Hinton et al. 2015,
arXiv:1503.02531, section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from onnxq.config import (
    CrossEntropy,
    Distill,
    LossSettings,
    MatchDirections,
    MatchFeatures,
    MatchOutputs,
    OwnLoss,
    SquaredError,
    import_function,
)
from onnxq.errors import ConfigError, UsageError

Values: TypeAlias = Mapping[str, Tensor]
"""Tensors by name."""

_TINY = 1e-12


@dataclass(frozen=True)
class Question:
    """What a loss compares.

    Attributes:
        found: Outputs and features of the model in training.
        expected: The same of the original; empty where no loss asks for them.
        labels: Of the samples, [batch, …]; None if there are none.
    """

    found: Values
    expected: Values = field(default_factory=dict)
    labels: Tensor | None = None


@dataclass(frozen=True)
class Losses:
    """A weighted sum of losses.

    Attributes:
        settings: The losses.
        outputs: Names of the model's float outputs.
        blocks: Names of the tensors at the ends of blocks, for feature matching.
    """

    settings: Sequence[LossSettings]
    outputs: Sequence[str]
    blocks: Sequence[str] = ()

    def __post_init__(self) -> None:
        known = set(self.outputs)
        for number, one in enumerate(self.settings):
            if one.output is not None and one.output not in known:
                raise ConfigError(
                    f"the model has no float output '{one.output}'",
                    where=f"finetune.losses[{number}].output",
                    remedy=f"use one of {', '.join(self.outputs)}",
                )

    @property
    def features(self) -> tuple[str, ...]:
        """Tensors inside the model that some loss looks at."""
        asked = [
            name
            for one in self.settings
            if isinstance(one, MatchFeatures)
            for name in (one.tensors or self.blocks)
        ]
        return tuple(dict.fromkeys(asked))

    @property
    def in_words(self) -> tuple[str, ...]:
        """Each with its weight."""
        return tuple(
            f"{one.weight:g} × {one.kind}" + (f" of '{one.output}'" if one.output else "")
            for one in self.settings
        )

    @property
    def needs_original(self) -> bool:
        """Whether some loss compares with the original model."""
        return any(not isinstance(one, CrossEntropy | SquaredError) for one in self.settings)

    def __call__(self, question: Question) -> Tensor:
        """The sum, a scalar; each loss is a mean over the samples."""
        terms = [one.weight * self._term(one, question) for one in self.settings]
        return torch.stack(terms).sum()

    def _term(self, settings: LossSettings, question: Question) -> Tensor:
        match settings:
            case MatchFeatures():
                names: Sequence[str] = settings.tensors or self.blocks
                if not names:
                    raise ConfigError(
                        "the model has no inner blocks to match features at",
                        where="finetune.losses",
                        remedy="name the tensors, or match the outputs alone",
                    )
                return _mean(relative_error(question.found[n], question.expected[n]) for n in names)
            case CrossEntropy(smoothing=smoothing):
                logits = question.found[settings.output or self.outputs[0]]
                return functional.cross_entropy(
                    logits, _labels(question), label_smoothing=smoothing
                )
            case SquaredError():
                found = question.found[settings.output or self.outputs[0]]
                return functional.mse_loss(found, _labels(question).to(found.dtype))
            case OwnLoss(function=function):
                return _own(function)(question.found, question.expected, question.labels)
            case Distill(temperature=temperature):
                return self._over_outputs(
                    settings, question, lambda a, b: divergence(a, b, temperature)
                )
            case MatchOutputs():
                return self._over_outputs(settings, question, relative_error)
            case MatchDirections():
                return self._over_outputs(settings, question, angular_error)

    def _over_outputs(
        self,
        settings: LossSettings,
        question: Question,
        measure: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        names = [settings.output] if settings.output else self.outputs
        return _mean(measure(question.found[n], question.expected[n]) for n in names)


def divergence(found: Tensor, expected: Tensor, temperature: float = 1.0) -> Tensor:
    """T²·KL(softmax(expected/T) ‖ softmax(found/T)) along the last axis, mean over the rest.

    Args:
        found: Logits.
        expected: Logits of the original, of the same shape.
        temperature: T.
    """
    log_found = functional.log_softmax(found / temperature, dim=-1)
    log_expected = functional.log_softmax(expected / temperature, dim=-1)
    terms = functional.kl_div(log_found, log_expected, reduction="none", log_target=True)
    return terms.sum(-1).mean() * temperature**2


def relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """Mean squared difference over the mean square of what is expected."""
    return (found - expected).square().mean() / expected.square().mean().clamp_min(_TINY)


def angular_error(found: Tensor, expected: Tensor) -> Tensor:
    """1 - cosine along the last axis, mean over the rest."""
    return (1 - functional.cosine_similarity(found, expected, dim=-1)).mean()


def default_losses(are_logits: bool) -> tuple[LossSettings, ...]:
    """Losses without labels for outputs that are logits, and for others (embeddings, maps)."""
    if are_logits:
        return (Distill(),)
    return (MatchDirections(), MatchOutputs())


def _mean(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()


def _labels(question: Question) -> Tensor:
    if question.labels is None:
        raise UsageError(
            "a loss compares with labels, and there are none",
            where="finetune.losses",
            remedy="give finetune.labels, or learn from the original model with `distill`",
        )
    return question.labels


def _own(reference: str) -> Callable[..., Tensor]:
    return import_function(
        reference, error=ConfigError, purpose="a function of (outputs, expected, labels)"
    )
