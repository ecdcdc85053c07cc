"""Normalisations and the softmax family."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.types import TORCH_TYPES


def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    training_mode: int = 0,
    outputs: int = 1,
) -> Any:
    """BatchNormalization-7 to 15, with the statistics given unless training_mode is set."""
    if not training_mode:
        return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)
    axes = (0, *range(2, x.dim()))
    y = F.batch_norm(x, None, None, scale, bias, training=True, eps=epsilon)
    batch_mean, batch_variance = x.mean(axes), x.var(axes, unbiased=False)
    new_mean = mean * momentum + batch_mean * (1 - momentum)
    new_variance = variance * momentum + batch_variance * (1 - momentum)
    return y, new_mean, new_variance


def instance_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    """InstanceNormalization-6."""
    if x[0, 0].numel() == 1:
        # torch refuses to normalise a single value; what remains of it is the bias.
        return torch.zeros_like(x) * scale.view(-1, *[1] * (x.dim() - 2)) + bias.view(
            -1, *[1] * (x.dim() - 2)
        )
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    outputs: int = 1,
) -> Any:
    """LayerNormalization-17."""
    first = axis % x.dim()
    shape = x.shape[first:]
    if outputs == 1 and scale.shape == shape and (bias is None or bias.shape == shape):
        return F.layer_norm(x, shape, scale, bias, epsilon)
    axes = tuple(range(first, x.dim()))
    wide = x.to(TORCH_TYPES[stash_type])
    mean = wide.mean(axes, keepdim=True)
    centred = wide - mean
    inverse = torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)
    y = (centred * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias, mean, inverse)


def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """RMSNormalization-23."""
    axes = tuple(range(axis % x.dim(), x.dim()))
    wide = x.to(TORCH_TYPES[stash_type])
    inverse = torch.rsqrt(wide.square().mean(axes, keepdim=True) + epsilon)
    return (wide * inverse).to(x.dtype) * scale


def group_normalization_18(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """GroupNormalization-18: scale and bias are given per group."""
    times = x.shape[1] // num_groups
    wide_scale, wide_bias = scale.repeat_interleave(times), bias.repeat_interleave(times)
    return F.group_norm(x, num_groups, wide_scale, wide_bias, epsilon)


def group_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    """GroupNormalization-21: scale and bias are given per channel."""
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """LpNormalization-1; a row of zeros stays one."""
    norm = torch.linalg.vector_norm(x, ord=p, dim=axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def mean_variance_normalization(x: Tensor, *, axes: tuple[int, ...] = (0, 2, 3)) -> Tensor:
    """MeanVarianceNormalization-13: (x - mean) / (deviation + 1e-9)."""
    centred = x - x.mean(axes, keepdim=True)
    return centred / (torch.sqrt(centred.square().mean(axes, keepdim=True)) + 1e-9)


def local_response_normalization(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """LRN-1: over `size` channels, of which an even size has one more after than before."""
    before = (size - 1) // 2
    squares = F.pad(x.square().flatten(2), (0, 0, before, size - 1 - before))
    sums = squares.unfold(1, size, 1).sum(-1).view(x.shape)
    return x / (bias + alpha / size * sums).pow(beta)


def softmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """Softmax-1 to 11: over all axes from `axis` on, taken as one."""
    return torch.softmax(x.flatten(axis % x.dim()), -1).view(x.shape)


def log_softmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """LogSoftmax-1 to 11: over all axes from `axis` on, taken as one."""
    return torch.log_softmax(x.flatten(axis % x.dim()), -1).view(x.shape)


def hardmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """Hardmax-1 to 11: over all axes from `axis` on, taken as one."""
    return hardmax(x.flatten(axis % x.dim())).view(x.shape)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Softmax-13."""
    return torch.softmax(x, axis)


def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """LogSoftmax-13."""
    return torch.log_softmax(x, axis)


def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Hardmax-13: one at the first of the largest values."""
    place = torch.argmax(x, axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, place, 1.0)


TABLE: Table = {
    **since_first(
        InstanceNormalization=instance_normalization,
        RMSNormalization=rms_normalization,
        LpNormalization=lp_normalization,
        MeanVarianceNormalization=mean_variance_normalization,
        LRN=local_response_normalization,
    ),
    "BatchNormalization": {7: Operator(batch_normalization, counts_outputs=True)},
    "LayerNormalization": {1: Operator(layer_normalization, counts_outputs=True)},
    "GroupNormalization": {18: Operator(group_normalization_18), 21: Operator(group_normalization)},
    "Softmax": {1: Operator(softmax_1), 13: Operator(softmax)},
    "LogSoftmax": {1: Operator(log_softmax_1), 13: Operator(log_softmax)},
    "Hardmax": {1: Operator(hardmax_1), 13: Operator(hardmax)},
}
