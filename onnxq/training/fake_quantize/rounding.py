"""Fake quantization: round to a grid on the way forward, a surrogate gradient on the way back.

Forward, with relative codes l = qmin - z and h = qmax - z:

    v = x / s          x̂ = s · clamp(round_half_even(v), l, h)

which is bit for bit DequantizeLinear(QuantizeLinear(x)), since codes are whole numbers that
float32 holds. Unlike there, NaN stays NaN: in training it must be seen.

Backward, with g the gradient of x̂ (straight-through estimator, Bengio et al. 2013,
arXiv:1308.3432, with the step's gradient of LSQ, Esser et al. 2020, arXiv:1902.08153):

    ∂L/∂x     = g      where l <= v <= h, else 0
    ∂L/∂s     = Σ g · (round(v) - v)    over the same elements
    ∂L/∂upper = Σ g    where v > h
    ∂L/∂lower = Σ g    where v < l

`upper` and `lower` are the values of the outermost codes. They do not enter the forward pass:
every method says by them how its parameters move the ends of the range, and autograd does the
rest. With s = (upper - lower) / (qmax - qmin) it is a pair of learned clips; with s constant and
upper a parameter it is PACT; with upper = h·s and lower = l·s it is LSQ, which is what a grid
without ends means, and costs less to compute.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from onnxq.training.fake_quantize.grouping import Grouping


class Grid(NamedTuple):
    """The values that a tensor may take, as tensors of the granularity's parameter shape.

    Attributes:
        scale: Distance of neighbouring values, positive.
        low: Lowest code less the zero point; whole numbers.
        high: Highest code less the zero point; whole numbers.
        lower: Value of the lowest code, for its gradient only; None: low · scale.
        upper: Value of the highest code, for its gradient only; None: high · scale.
    """

    scale: Tensor
    low: Tensor
    high: Tensor
    lower: Tensor | None = None
    upper: Tensor | None = None


def fake_quantize(x: Tensor, grid: Grid, grouping: Grouping, *, masked: bool = True) -> Tensor:
    """Round a tensor to a grid.

    Args:
        x: float32, of a shape that the grouping fits.
        grid: The grid.
        grouping: Which elements share one of its parameters.
        masked: Elements beyond the grid have no gradient; else that of those within.

    Returns:
        float32 of the same shape.
    """
    shape = x.shape
    grouped = grouping.group(x)
    aligned = [None if t is None else grouping.align(t, grouped.dim()) for t in grid]
    rounded = _Round.apply(grouped, *aligned, masked)  # type: ignore[no-untyped-call]  # torch
    return grouping.ungroup(rounded, shape)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        low: Tensor,
        high: Tensor,
        lower: Tensor | None,
        upper: Tensor | None,
        masked: bool,
    ) -> Tensor:
        # The ends have gradients alone.
        ctx.follows_scale = lower is None and upper is None
        ctx.save_for_backward(x, scale, low, high)
        ctx.masked = masked
        codes = torch.div(x, scale).round_().clamp_(low, high)
        # Adding zero turns -0.0 into the 0.0 that DequantizeLinear gives.
        return torch.addcmul(torch.zeros((), dtype=x.dtype, device=x.device), codes, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [gradient] = gradients
        x, scale, low, high = ctx.saved_tensors
        wants_x, wants_scale, _, _, wants_lower, wants_upper, _ = ctx.needs_input_grad
        steps = torch.div(x, scale)
        within = steps.clamp(low, high)
        inside = within.eq(steps)
        to_x = to_scale = to_lower = to_upper = None
        if wants_x:
            to_x = gradient * inside if ctx.masked else gradient
        if wants_lower:
            to_lower = _summed(gradient, steps < low, low)
        if wants_upper:
            to_upper = _summed(gradient, steps > high, high)
        if wants_scale:
            # The ends are whole numbers: beyond them `codes` is the end, and its error is zero.
            codes = within.round()
            slope = codes.addcmul_(inside, steps, value=-1) if ctx.follows_scale else codes - within
            to_scale = _summed(gradient, slope, scale)
        return to_x, to_scale, None, None, to_lower, to_upper, None


def _summed(gradient: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """Σ gradient · weight over the elements that share a parameter."""
    if like.dim() == 0:
        return torch.dot(gradient.reshape(-1), weight.reshape(-1).to(gradient.dtype))
    return (gradient * weight).sum_to_size(like.shape)
