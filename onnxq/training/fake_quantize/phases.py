"""What changes in the course of a training: rounding begins, ranges freeze, rounding is decided."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from onnxq.config import FakeQuantization
from onnxq.training.fake_quantize.quantizers import FakeQuantize
from onnxq.training.fake_quantize.weights import RoundedUpOrDown
from onnxq.training.student import QuietHook

_WEIGHT, _WARM, _FIRST_BETA, _LAST_BETA = 0.01, 0.2, 20.0, 2.0
"""AdaRound's λ, the share of steps without its regulariser, and the ends of β
(arXiv:2004.10568, appendix, and the implementations that follow it)."""


class RoundingPhases(QuietHook):
    """Lets rounding begin after a delay, and ranges freeze after a while."""

    def __init__(self, quantizers: Iterable[FakeQuantize], settings: FakeQuantization) -> None:
        """Rule over some quantizers."""
        self._quantizers, self._settings = list(quantizers), settings

    def before_step(self, step: int, total: int) -> None:
        """Set what holds in this step."""
        enabled = step >= self._settings.delay * total
        observing = step < self._settings.observe * total
        for quantizer in self._quantizers:
            quantizer.enabled, quantizer.observing = enabled, observing

    def after_step(self, step: int, total: int) -> None:
        """Whoever evaluates shall see the rounded model."""
        for quantizer in self._quantizers:
            quantizer.enabled, quantizer.observing = True, False


class DecideRounding(QuietHook):
    """AdaRound's regulariser: λ Σ 1 - |2h - 1|^β, with β falling from 20 to 2 along a cosine."""

    def __init__(self, quantizers: Iterable[FakeQuantize]) -> None:
        """Rule over those that learn to round up or down."""
        self._quantizers = [q for q in quantizers if isinstance(q, RoundedUpOrDown)]

    def penalty(self, step: int, total: int) -> Tensor | None:
        """The regulariser, per weight; nothing while the reconstruction settles."""
        done = (step / total - _WARM) / (1 - _WARM)
        if done < 0 or not self._quantizers:
            return None
        beta = _LAST_BETA + (_FIRST_BETA - _LAST_BETA) * 0.5 * (1 + math.cos(math.pi * done))
        count = sum(q.up.numel() for q in self._quantizers)
        return _WEIGHT / count * torch.stack([q.undecided(beta) for q in self._quantizers]).sum()
