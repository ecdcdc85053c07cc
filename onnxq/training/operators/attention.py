"""Attention and rotary embeddings, as ONNX defines them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.types import TORCH_TYPES


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, S, N·H] → [B, N, S, H]; four axes are heads already."""
    if x.dim() == 4:
        return x
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, N, S, H] → [B, S, N·H]."""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    outputs: int = 1,
) -> Any:
    """Attention-23 and 24.

    Args:
        q: [B, N, S, H] or [B, S, N·H].
        k: [B, M, L, H] or [B, L, M·H]; N is a multiple of M.
        v: [B, M, L, G] or [B, L, M·G].
        mask: Added to the products, or where boolean the places that count; it broadcasts.
        past_key: [B, M, P, H], before the keys.
        past_value: [B, M, P, G], before the values.
        lengths: Keys that count, by batch entry.
        is_causal: Whether a query sees no later keys.
        kv_num_heads: M, where there are three axes.
        q_num_heads: N, where there are three axes.
        qk_matmul_output_mode: The stage of the products that the fourth output shows: as they are,
            capped, with the mask, or as shares.
        scale: Factor of the products; 1 / √H by default.
        softcap: Where positive, products p become softcap · tanh(p / softcap).
        softmax_precision: ONNX type in which the softmax is computed.
        outputs: Number of outputs.
    """
    merged = q.dim() == 3
    query = split_heads(q, q_num_heads or 1)
    key, value = split_heads(k, kv_num_heads or 1), split_heads(v, kv_num_heads or 1)
    if past_key is not None and past_value is not None:
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    present = (key, value)
    times = query.shape[1] // key.shape[1]
    if times > 1:
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    root = math.sqrt(factor)
    products = torch.matmul(query * root, key.transpose(-1, -2) * root)
    past = 0 if past_key is None else past_key.shape[2]
    bias = _bias(products, mask, lengths, bool(is_causal), past)
    capped = softcap * torch.tanh(products / softcap) if softcap > 0 else products
    masked = capped if bias is None else capped + bias
    kind = masked.dtype if softmax_precision is None else TORCH_TYPES[softmax_precision]
    shares = torch.softmax(masked.to(kind), -1).to(q.dtype)
    if bias is not None:
        # A query that sees no key at all gets zeros.
        shares = torch.where(torch.isneginf(bias).all(-1, keepdim=True), 0.0, shares)
    found = torch.matmul(shares, value)
    y = merge_heads(found) if merged else found
    stages = (products, capped, masked, shares)
    return (y, *present, stages[qk_matmul_output_mode])[: max(outputs, 1)]


def _bias(
    products: Tensor, mask: Tensor | None, lengths: Tensor | None, causal: bool, past: int
) -> Tensor | None:
    """What is added to the products; None if nothing is."""
    rows, columns = products.shape[-2:]
    bias: Tensor | None = None
    if mask is not None:
        bias = _as_bias(mask, products.dtype)
        if bias.shape[-1] < columns:
            missing = columns - bias.shape[-1]
            bias = torch.nn.functional.pad(bias, (0, missing), value=float("-inf"))
    place = torch.arange(columns, device=products.device)
    if causal:
        seen = place <= torch.arange(rows, device=products.device).unsqueeze(-1) + past
        if lengths is not None:
            first = (lengths - rows).view(-1, 1, 1, 1)
            seen = place <= torch.arange(rows, device=products.device).unsqueeze(-1) + first
        bias = _sum_of(bias, _as_bias(seen, products.dtype))
    if lengths is not None:
        valid = place < lengths.view(-1, 1, 1, 1)
        bias = _sum_of(bias, _as_bias(valid, products.dtype))
    return bias


def _as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    return torch.where(mask, zero, torch.full_like(zero, float("-inf")))


def _sum_of(bias: Tensor | None, more: Tensor) -> Tensor:
    return more if bias is None else bias + more


def rotary_embedding(
    x: Tensor,
    cosines: Tensor,
    sines: Tensor,
    positions: Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """RotaryEmbedding-23: x [B, N, S, H] or [B, S, N·H]; caches [L, R/2] or [B, S, R/2]."""
    heads = split_heads(x, num_heads or 1)
    size = rotary_embedding_dim or heads.shape[-1]
    if positions is not None:
        cosines, sines = cosines[positions], sines[positions]
    cosine, sine = cosines.unsqueeze(1), sines.unsqueeze(1)
    turned, rest = heads[..., :size], heads[..., size:]
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
    else:
        first, second = turned.chunk(2, -1)
    real = first * cosine - second * sine
    imaginary = first * sine + second * cosine
    if interleaved:
        result = torch.stack([real, imaginary], -1).flatten(-2)
    else:
        result = torch.cat([real, imaginary], -1)
    result = torch.cat([result, rest], -1) if rest.shape[-1] else result
    return result if x.dim() == 4 else merge_heads(result)


TABLE: Table = {
    **since_first(RotaryEmbedding=rotary_embedding),
    "Attention": {23: Operator(attention, counts_outputs=True)},
}
