"""Quantization: exact forwards, and straight through backwards where a gradient is wanted.

Rounding counts as the identity in a gradient, saturation as a clamp (Bengio et al. 2013,
arXiv:1308.3432). Codes that only dequantization reads are kept as floats, which alone can
carry a gradient; their values are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table
from onnxq.training.operators.types import CODE_RANGES, TORCH_TYPES


class _Round(torch.autograd.Function):
    """Rounding to the nearest, halves to the even one; the identity in a gradient."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def round_straight_through(x: Tensor) -> Tensor:
    """Round halves to even; in a gradient this is the identity."""
    rounded: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]  # torch has no types here
    return rounded


def aligned(parameter: Tensor, like: Tensor, axis: int, block_size: int) -> Tensor:
    """A scale or zero point, so that it broadcasts over the tensor it belongs to."""
    if parameter.numel() == 1 and parameter.dim() <= 1:
        return parameter.reshape(())
    if block_size:
        wide = parameter.repeat_interleave(block_size, axis)
        return wide.narrow(axis, 0, like.shape[axis])
    if parameter.dim() != 1:
        return parameter
    shape = [1] * like.dim()
    shape[axis] = -1
    return parameter.view(shape)


def quantize_linear(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
    code_type: int = TensorProto.UINT8,
    differentiable: bool = False,
) -> Tensor:
    """QuantizeLinear-10 to 25.

    Args:
        x: Real values.
        scale: One, one per slice along the axis, or one per block.
        zero_point: Of the same shape; zero if missing.
        axis: The axis of the scales or blocks.
        block_size: Extent of a block; 0 if there are none.
        output_dtype: ONNX type of the codes, where there is no zero point.
        precision: ONNX type of the division; unused, as it is done in the type of x.
        saturate: Whether float8 codes saturate.
        code_type: ONNX type of the codes, as the model has it.
        differentiable: Return the codes as floats through which a gradient flows.
    """
    steps = x / aligned(scale, x, axis, block_size).to(x.dtype)
    if code_type not in CODE_RANGES:
        return _narrow_floats(steps, code_type, saturate)
    low, high = CODE_RANGES[code_type]
    codes = round_straight_through(steps) if differentiable else torch.round(steps)
    if zero_point is not None:
        codes = codes + aligned(zero_point, x, axis, block_size).to(codes.dtype)
    codes = torch.clamp(codes, low, high)
    if differentiable:
        return codes
    return torch.nan_to_num(codes, nan=low).to(TORCH_TYPES[code_type])


def _narrow_floats(x: Tensor, code_type: int, saturate: int) -> Tensor:
    kind = TORCH_TYPES[code_type]
    if saturate:
        largest = torch.finfo(kind).max
        x = torch.clamp(x, -largest, largest)
    return x.to(kind)


def dequantize_linear(
    codes: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    """DequantizeLinear-10 to 25: (codes - zero point) · scale, in the type of the scale."""
    wide = codes.to(scale.dtype)
    if zero_point is not None:
        wide = wide - aligned(zero_point, codes, axis, block_size).to(scale.dtype)
    real = wide * aligned(scale, codes, axis, block_size)
    return real.to(TORCH_TYPES[output_dtype]) if output_dtype else real


def dynamic_quantize_linear(x: Tensor, *, differentiable: bool = False) -> Any:
    """DynamicQuantizeLinear-11: codes of 8 bits, their scale and zero point."""
    low = torch.clamp(x.amin(), max=0)
    scale = (torch.clamp(x.amax(), min=0) - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero_point = torch.clamp(torch.round(-low / scale), 0, 255)
    rounded = round_straight_through(x / scale) if differentiable else torch.round(x / scale)
    codes = torch.clamp(rounded + zero_point, 0, 255)
    if not differentiable:
        codes = codes.to(torch.uint8)
    return codes, scale, zero_point.to(torch.uint8)


def matmul_integer(
    a: Tensor,
    b: Tensor,
    a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None,
    *,
    differentiable: bool = False,
) -> Tensor:
    """MatMulInteger-10. Sums are exact: float64 holds them all."""
    left, right = a.to(torch.float64), b.to(torch.float64)
    if a_zero_point is not None:
        rows = a_zero_point.unsqueeze(-1) if a_zero_point.dim() == 1 else a_zero_point
        left = left - (a_zero_point if a_zero_point.numel() == 1 else rows)
    if b_zero_point is not None:
        right = right - b_zero_point
    product = torch.matmul(left, right)
    return product.to(torch.float32 if differentiable else torch.int32)


def quantized_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    code_type: int = TensorProto.UINT8,
) -> Tensor:
    """QLinearMatMul-10 and 21."""
    exact = matmul_integer(a, b, a_zero_point, b_zero_point).to(torch.float64)
    left = a_scale.unsqueeze(-1) if a_scale.dim() == 1 and a_scale.numel() > 1 else a_scale
    factor = left.to(torch.float32) * b_scale.to(torch.float32) / y_scale.to(torch.float32)
    return _coded(exact * factor, y_zero_point, code_type)


def _coded(steps: Tensor, zero_point: Tensor, code_type: int) -> Tensor:
    low, high = CODE_RANGES[code_type]
    codes = torch.round(steps.to(torch.float32)) + zero_point.to(torch.float32)
    return torch.clamp(codes, low, high).to(TORCH_TYPES[code_type])


TABLE: Table = {
    "QuantizeLinear": {10: Operator(quantize_linear, coded=2)},
    "DequantizeLinear": {10: Operator(dequantize_linear)},
    "DynamicQuantizeLinear": {11: Operator(dynamic_quantize_linear)},
    "MatMulInteger": {10: Operator(matmul_integer)},
    "QLinearMatMul": {10: Operator(quantized_matmul, coded=7)},
}
