"""Convolutions of integers."""

from __future__ import annotations

from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from onnxq.training.operators.convolution import convolution
from onnxq.training.operators.operator import Operator, Table
from onnxq.training.operators.types import CODE_RANGES, TORCH_TYPES


def _per_filter(parameter: Tensor, weight: Tensor) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape(())
    return parameter.view(-1, *[1] * (weight.dim() - 1))


def _exact(
    x: Tensor, w: Tensor, x_zero_point: Tensor | None, w_zero_point: Tensor | None, **window: Any
) -> Tensor:
    """The sums in float64, which holds them all."""
    left, right = x.to(torch.float64), w.to(torch.float64)
    if x_zero_point is not None:
        left = left - x_zero_point.reshape(())
    if w_zero_point is not None:
        right = right - _per_filter(w_zero_point, w)
    return convolution(left, right, **window)


def convolution_integer(
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor | None = None,
    w_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
    differentiable: bool = False,
) -> Tensor:
    """ConvInteger-10. Padding has the value of the zero point."""
    sums = _exact(
        *(x, w, x_zero_point, w_zero_point),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    return sums.to(torch.float32 if differentiable else torch.int32)


def quantized_convolution(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
    code_type: int = TensorProto.UINT8,
) -> Tensor:
    """QLinearConv-10: the bias is int32, in steps of x_scale · w_scale."""
    sums = _exact(
        *(x, w, x_zero_point, w_zero_point),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    shape = (1, -1, *[1] * (x.dim() - 2))
    if b is not None:
        sums = sums + b.to(torch.float64).view(shape)
    factor = (x_scale * w_scale / y_scale).to(torch.float32)
    factor = factor.reshape(()) if factor.numel() == 1 else factor.view(shape)
    low, high = CODE_RANGES[code_type]
    codes = torch.round((sums * factor).to(torch.float32)) + y_zero_point.to(torch.float32)
    return torch.clamp(codes, low, high).to(TORCH_TYPES[code_type])


TABLE: Table = {
    "ConvInteger": {10: Operator(convolution_integer)},
    "QLinearConv": {10: Operator(quantized_convolution, coded=7)},
}
