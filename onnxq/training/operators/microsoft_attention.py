"""Attention as ONNX Runtime's fusions write it."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from onnxq.training.operators.attention import merge_heads, rotary_embedding, split_heads


def _padding_bias(mask: Tensor | None, like: Tensor, value: float) -> Tensor | None:
    """What a mask of one to three axes adds to products [B, N, S, L]."""
    if mask is None:
        return None
    length = like.shape[-1]
    if mask.dim() == 1 and mask.numel() == like.shape[0]:
        place = torch.arange(length, device=mask.device)
        valid = place < mask.unsqueeze(-1)
    else:
        valid = mask.to(torch.bool)
    while valid.dim() < 4:
        valid = valid.unsqueeze(1)
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    return torch.where(valid, zero, torch.full_like(zero, value))


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    added: Tensor | None,
    scale: float,
    filter_value: float,
    causal: bool,
) -> Tensor:
    """Softmax of scaled products [B, N, S, L], times the values."""
    factor = scale or 1 / math.sqrt(q.shape[-1])
    products = torch.matmul(q, k.transpose(-1, -2)) * factor
    if added is not None:
        products = products + added
    bias = _padding_bias(mask, products, filter_value)
    if bias is not None:
        products = products + bias
    if causal:
        rows, columns = products.shape[-2:]
        hidden = torch.ones(rows, columns, dtype=torch.bool, device=q.device)
        hidden = torch.triu(hidden, columns - rows + 1)
        products = torch.where(hidden, filter_value, products)
    return merge_heads(torch.matmul(torch.softmax(products, -1), v))


def fused_attention(
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    past: Tensor | None = None,
    added: Tensor | None = None,
    past_length: Tensor | None = None,
    *,
    num_heads: int,
    do_rotary: Literal[0] = 0,
    mask_filter_value: float = -10000.0,
    past_present_share_buffer: int = 0,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    rotary_embedding_dim: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> Any:
    """com.microsoft Attention: x [B, S, C], weights [C, Q + K + V]; outputs Y and the present."""
    joint = torch.matmul(x, weights)
    joint = joint if bias is None else joint + bias
    sizes = qkv_hidden_sizes or (joint.shape[-1] // 3,) * 3
    q, k, v = (split_heads(part, num_heads) for part in torch.split(joint, list(sizes), -1))
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    y = _attend(q, k, v, mask, added, scale, mask_filter_value, bool(unidirectional))
    same = k.shape == v.shape
    return (y, torch.stack([k, v])) if same else y


def multi_head_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    added: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = -10000.0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> Any:
    """MultiHeadAttention of separate queries, keys and values, or of a packed query."""
    if key is None or value is None:
        q, k, v = (query[:, :, :, i].transpose(1, 2) for i in range(3))
    else:
        shifts: Any = (0, 0, 0)
        if bias is not None:
            widths = [query.shape[-1], query.shape[-1]]
            shifts = torch.split(bias, [*widths, bias.numel() - sum(widths)])
        q = split_heads(query + shifts[0], num_heads)
        k, v = _keys(key, shifts[1], num_heads), _keys(value, shifts[2], num_heads)
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    return _attend(q, k, v, mask, added, scale, mask_filter_value, bool(unidirectional)), k, v


def _keys(x: Tensor, shift: Any, heads: int) -> Tensor:
    """Keys or values by heads; four axes are those of another attention, without bias."""
    return x if x.dim() == 4 else split_heads(x + shift, heads)


def microsoft_rotary(
    x: Tensor,
    positions: Tensor,
    cosines: Tensor,
    sines: Tensor,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Tensor:
    """com.microsoft RotaryEmbedding; one position is that of the first token."""
    heads = num_heads or (x.shape[-1] // (2 * cosines.shape[-1]) if x.dim() == 3 else 0)
    if positions.numel() == 1:
        length = x.shape[1] if x.dim() == 3 else x.shape[2]
        places = positions.reshape(1, 1) + torch.arange(length, device=x.device)
        positions = places.expand(x.shape[0], length)
    return rotary_embedding(
        *(x, cosines, sines, positions),
        interleaved=interleaved,
        num_heads=heads,
        rotary_embedding_dim=rotary_embedding_dim,
    )
