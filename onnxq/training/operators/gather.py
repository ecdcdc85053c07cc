"""Reading and writing by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first


def gather(x: Tensor, indices: Any, *, axis: int = 0) -> Tensor:
    """Gather-13; negative indices count from the end.

    Args:
        x: The data.
        indices: A tensor, or a plain number where it never changes.
        axis: The axis indexed.
    """
    if isinstance(indices, int):
        return x.select(axis, indices)
    axis %= x.dim()
    if indices.dim() == 0:
        places = indices.reshape(1)
        return torch.index_select(x, axis, _from_start(places, x.shape[axis])).squeeze(axis)
    if axis == 0 and x.dim() == 2 and x.is_floating_point():
        return F.embedding(_from_start(indices, x.shape[0]), x)
    flat = _from_start(indices.reshape(-1), x.shape[axis])
    chosen = torch.index_select(x, axis, flat)
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _from_start(indices: Tensor, size: int) -> Tensor:
    return torch.where(indices < 0, indices + size, indices)


def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """GatherElements-13."""
    return torch.gather(x, axis, _from_start(indices.to(torch.int64), x.shape[axis]))


def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """GatherND-12: the last axis of the indices holds coordinates."""
    depth = indices.shape[-1]
    coordinates: list[Tensor] = []
    for axis in range(batch_dims):
        shape = [1] * (indices.dim() - 1)
        shape[axis] = x.shape[axis]
        coordinates.append(torch.arange(x.shape[axis], device=x.device).view(shape))
    for position in range(depth):
        places = indices[..., position].to(torch.int64)
        coordinates.append(_from_start(places, x.shape[batch_dims + position]))
    return x[tuple(coordinates)]


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """ScatterElements-11 to 18."""
    places = _from_start(indices.to(torch.int64), x.shape[axis])
    updates = updates.to(x.dtype)
    if reduction == "none":
        return torch.scatter(x, axis, places, updates)
    how = _REDUCTIONS[reduction]
    return torch.scatter_reduce(x, axis, places, updates, how, include_self=True)


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """ScatterND-11 to 18: the last axis of the indices holds coordinates."""
    depth = indices.shape[-1]
    strides = [1] * depth
    for axis in reversed(range(depth - 1)):
        strides[axis] = strides[axis + 1] * x.shape[axis + 1]
    flat = x.new_zeros(indices.shape[:-1], dtype=torch.int64)
    for axis in range(depth):
        places = _from_start(indices[..., axis].to(torch.int64), x.shape[axis])
        flat = flat + places * strides[axis]
    rows = x.reshape(-1, *x.shape[depth:])
    values = updates.reshape(-1, *x.shape[depth:]).to(x.dtype)
    places = flat.reshape(-1, *[1] * (rows.dim() - 1)).expand(values.shape)
    if reduction == "none":
        return torch.scatter(rows, 0, places, values).view(x.shape)
    how = _REDUCTIONS[reduction]
    return torch.scatter_reduce(rows, 0, places, values, how, include_self=True).view(x.shape)


def one_hot(indices: Tensor, depth: Any, values: Tensor, *, axis: int = -1) -> Tensor:
    """OneHot-11: an index outside of the depth gives no one."""
    size = int(depth[0] if isinstance(depth, list) else depth)
    places = indices.to(torch.int64)
    places = torch.where(places < 0, places + size, places)
    rank = indices.dim() + 1
    axis %= rank
    shape = [1] * rank
    shape[axis] = size
    classes = torch.arange(size, device=indices.device).view(shape)
    return torch.where(places.unsqueeze(axis) == classes, values[1], values[0])


def nonzero(x: Tensor) -> Tensor:
    """NonZero-9."""
    return torch.nonzero(x).t()


def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """Compress-11: the condition may be shorter than the axis."""
    places = torch.nonzero(condition).reshape(-1)
    return torch.index_select(x.flatten() if axis is None else x, axis or 0, places)


def trilu(x: Tensor, k: Any = None, *, upper: int = 1) -> Tensor:
    """Trilu-14."""
    diagonal = int((k[0] if isinstance(k, list) else k) or 0)
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


def reverse_sequence(
    x: Tensor, lengths: Sequence[int], *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    """ReverseSequence-10: the first `lengths[i]` steps of sequence i, backwards."""
    steps = x.shape[time_axis]
    count = torch.tensor(lengths, device=x.device).unsqueeze(1)
    time = torch.arange(steps, device=x.device).unsqueeze(0)
    places = torch.where(time < count, count - 1 - time, time)
    if batch_axis > time_axis:
        places = places.t()
    shape = [1] * x.dim()
    shape[batch_axis], shape[time_axis] = x.shape[batch_axis], steps
    return torch.gather(x, time_axis, places.reshape(shape).expand(x.shape))


def unique(x: Tensor, *, axis: int | None = None, sorted: int = 1) -> Any:
    """Unique-11: values, first places, inverse, counts."""
    values, inverse, counts = torch.unique(
        x, sorted=True, return_inverse=True, return_counts=True, dim=axis
    )
    inverse = inverse.reshape(-1)
    size = inverse.numel()
    order = torch.arange(size, device=x.device)
    first = torch.full_like(counts, size).scatter_reduce(0, inverse, order, "amin")
    if sorted:
        return values, first, inverse, counts
    seen = torch.argsort(first)
    back = torch.argsort(seen)
    chosen = torch.index_select(values, axis or 0, seen)
    return chosen, first[seen], back[inverse], counts[seen]


TABLE: Table = {
    **since_first(
        GatherElements=gather_elements,
        GatherND=gather_nd,
        Scatter=scatter_elements,
        ScatterElements=scatter_elements,
        ScatterND=scatter_nd,
    ),
    "Gather": {1: Operator(gather, fixed=(1,))},
    "OneHot": {9: Operator(one_hot, host=(1,))},
    "NonZero": {9: Operator(nonzero, free_shape=True)},
    "Compress": {9: Operator(compress, free_shape=True)},
    "Unique": {11: Operator(unique, free_shape=True)},
    "Trilu": {14: Operator(trilu, host=(1,))},
    "ReverseSequence": {10: Operator(reverse_sequence, host=(1,))},
}
