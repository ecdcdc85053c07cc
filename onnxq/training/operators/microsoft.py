"""Operators of ONNX Runtime's own domain, com.microsoft, that its tools and exporters write.

Definitions: ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators import quantized
from onnxq.training.operators.convolution import convolution
from onnxq.training.operators.microsoft_attention import (
    fused_attention,
    microsoft_rotary,
    multi_head_attention,
)
from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.products import gemm

_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "LeakyRelu": F.leaky_relu,
    "Clip": torch.clamp,
    "HardSigmoid": lambda x, a, b: torch.clamp(x * a + b, 0, 1),
}


def gelu(x: Tensor) -> Tensor:
    """Gelu."""
    return F.gelu(x)


def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """FastGelu: the approximation by tanh."""
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """BiasGelu."""
    return F.gelu(x + bias)


def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    """QuickGelu: x · sigmoid(alpha · x)."""
    return x * torch.sigmoid(alpha * x)


def bias_softmax(x: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int = 0) -> Tensor:
    """BiasSoftmax over all axes from `axis` on."""
    total = x + bias
    return torch.softmax(total.flatten(axis % x.dim()), -1).view(total.shape)


def skip_layer_normalization(
    x: Tensor,
    skip: Tensor,
    scale: Tensor,
    shift: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Any:
    """SkipLayerNormalization: the sum is the fourth output."""
    total = x + skip if bias is None else x + skip + bias
    y = F.layer_norm(total, scale.shape, scale, shift, epsilon)
    return y, None, None, total


def simplified_layer_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    """SimplifiedLayerNormalization: by the root of the mean square."""
    axes = tuple(range(axis % x.dim(), x.dim()))
    inverse = torch.rsqrt(x.to(torch.float32).square().mean(axes, keepdim=True) + epsilon)
    return (x * inverse).to(x.dtype) * scale, inverse


def skip_simplified_layer_normalization(
    x: Tensor,
    skip: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Any:
    """SkipSimplifiedLayerNormalization: the sum is the fourth output."""
    total = x + skip if bias is None else x + skip + bias
    y, _ = simplified_layer_normalization(total, scale, epsilon=epsilon)
    return y, None, None, total


def embed_layer_normalization(
    tokens: Tensor,
    segments: Tensor | None,
    word: Tensor,
    position: Tensor,
    segment: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    mask: Tensor | None = None,
    places: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,
) -> Any:
    """EmbedLayerNormalization: outputs, number of tokens that count, sum of embeddings."""
    length = tokens.shape[1]
    index = torch.arange(length, device=tokens.device) if places is None else places
    total = F.embedding(tokens, word) + F.embedding(index, position)
    if segments is not None and segment is not None:
        total = total + F.embedding(segments, segment)
    y = F.layer_norm(total, total.shape[-1:], scale, shift, epsilon)
    if mask is None:
        counted = torch.zeros(tokens.shape[0], dtype=torch.int32, device=tokens.device)
    else:
        counted = mask.sum(1).to(torch.int32)
    return y, counted, total


def fused_matmul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Tensor:
    """FusedMatMul: alpha · A' · B'. A batch axis is moved to be the last but one."""
    left = a.movedim(0, -2) if transBatchA else a
    right = b.movedim(0, -2) if transBatchB else b
    left = left.transpose(-1, -2) if transA else left
    right = right.transpose(-1, -2) if transB else right
    product = torch.matmul(left, right)
    return product if alpha == 1.0 else product * alpha


def fused_convolution(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    z: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] = (),
    **window: Any,
) -> Tensor:
    """FusedConv: activation(Conv(x) + z)."""
    y = convolution(x, w, b, **window)
    y = y if z is None else y + z
    return _ACTIVATIONS[activation](y, *activation_params) if activation else y


def fused_gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    activation_gamma: float = 0.0,
    **attributes: Any,
) -> Tensor:
    """FusedGemm: activation(Gemm)."""
    y = gemm(a, b, c, **attributes)
    if activation == "LeakyRelu":
        return F.leaky_relu(y, activation_alpha)
    return _ACTIVATIONS[activation](y) if activation else y


def unpacked(codes: Tensor, bits: int) -> Tensor:
    """Codes of 2, 4 or 8 bits, the lowest bits of each byte first: [..., n] → [..., n·8/bits]."""
    if bits == 8:
        return codes
    mask = (1 << bits) - 1
    parts = [(codes >> shift) & mask for shift in range(0, 8, bits)]
    return torch.stack(parts, -1).flatten(-2)


def matmul_of_blocks(
    a: Tensor,
    b: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    K: int,
    N: int,
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Tensor:
    """MatMulNBits: a [..., K] times the transpose of a weight [N, K] of packed blocks."""
    blocks = -(-K // block_size)
    codes = unpacked(b.view(N, blocks, -1), bits).to(scales.dtype)
    if zero_points is None:
        offset = torch.full((), float(1 << (bits - 1)), dtype=scales.dtype, device=b.device)
    elif zero_points.is_floating_point():
        offset = zero_points.view(N, blocks, 1)
    else:
        offset = unpacked(zero_points.view(N, -1), bits)[:, :blocks].unsqueeze(-1)
        offset = offset.to(scales.dtype)
    weight = ((codes - offset) * scales.view(N, blocks, 1)).flatten(1)[:, :K]
    return F.linear(a, weight.to(a.dtype), bias)


def dynamic_quantize_matmul(
    a: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """DynamicQuantizeMatMul: activations are quantized on the fly, a gradient passes straight."""
    codes, scale, zero_point = quantized.dynamic_quantize_linear(a, differentiable=True)
    product = quantized.matmul_integer(codes, b, zero_point, b_zero_point, differentiable=True)
    y: Tensor = product * (scale * b_scale)
    return y if bias is None else y + bias


def matmul_integer_to_float(
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """MatMulIntegerToFloat."""
    product = quantized.matmul_integer(a, b, a_zero_point, b_zero_point, differentiable=True)
    y = product * (a_scale * b_scale)
    return y if bias is None else y + bias


TABLE: Table = {
    **since_first(
        Gelu=gelu,
        FastGelu=fast_gelu,
        BiasGelu=bias_gelu,
        QuickGelu=quick_gelu,
        BiasSoftmax=bias_softmax,
        SkipLayerNormalization=skip_layer_normalization,
        SkipSimplifiedLayerNormalization=skip_simplified_layer_normalization,
        EmbedLayerNormalization=embed_layer_normalization,
        FusedMatMul=fused_matmul,
        FusedConv=fused_convolution,
        FusedGemm=fused_gemm,
        MatMulNBits=matmul_of_blocks,
        DynamicQuantizeMatMul=dynamic_quantize_matmul,
        MatMulIntegerToFloat=matmul_integer_to_float,
        Attention=fused_attention,
        MultiHeadAttention=multi_head_attention,
        RotaryEmbedding=microsoft_rotary,
        DequantizeLinear=quantized.dequantize_linear,
    ),
    "QuantizeLinear": {1: Operator(quantized.quantize_linear, coded=2)},
}

MISPLACED: Table = since_first(SimplifiedLayerNormalization=simplified_layer_normalization)
"""What ONNX Runtime adds to ONNX's own domain."""
