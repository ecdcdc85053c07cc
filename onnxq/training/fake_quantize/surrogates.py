"""Functions whose gradient is not that of what they compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def straight_through(value: Tensor, replacement: Tensor) -> Tensor:
    """`replacement`, bit for bit, with the gradient of `value`."""
    result: Tensor = _StraightThrough.apply(value, replacement)  # type: ignore[no-untyped-call]
    return result


def scaled_gradient(value: Tensor, factor: float) -> Tensor:
    """`value`, bit for bit, with its gradient times `factor`."""
    result: Tensor = _ScaledGradient.apply(value, factor)  # type: ignore[no-untyped-call]
    return result


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, replacement: Tensor) -> Tensor:
        del ctx, value
        return replacement.detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        del ctx
        return gradients[0], None


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
