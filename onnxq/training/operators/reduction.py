"""Reductions: axes are an attribute in older operator sets and an input in newer ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first

_DROPPED = False
"""Axes that are reduced do not stay as axes of one."""

Reduce = Callable[[Tensor, tuple[int, ...], bool], Tensor]
"""Reduces a tensor over the axes; the last argument keeps them as axes of one."""


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim=keep)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return torch.div(_sum(x, axes, keep), count, rounding_mode="trunc").to(x.dtype)


def _sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keep, dtype=x.dtype)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep, dtype=x.dtype)
    return x


def _bounds(dtype: torch.dtype) -> tuple[Any, Any]:
    """The lowest and the highest value of a type."""
    if dtype.is_floating_point:
        return float("-inf"), float("inf")
    if dtype == torch.bool:
        return False, True
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def _of_nothing(x: Tensor, axes: tuple[int, ...], keep: bool, value: Any) -> Tensor:
    """The result where an axis that is reduced has no elements."""
    kept = [1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes]
    return x.new_full(kept, value)


def _largest(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    if x.numel() == 0:
        return _of_nothing(x, axes, keep, _bounds(x.dtype)[0])
    return torch.amax(x, axes, keepdim=keep)


def _smallest(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    if x.numel() == 0:
        return _of_nothing(x, axes, keep, _bounds(x.dtype)[1])
    return torch.amin(x, axes, keepdim=keep)


def _absolute_sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return _sum(x.abs(), axes, keep)


def _norm(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    if x.is_floating_point():
        norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=keep)
        return norm
    return torch.sqrt(_sum(x.square(), axes, keep)).to(x.dtype)


def _sum_of_squares(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return _sum(x.square(), axes, keep)


def _log_of_sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.log(_sum(x, axes, keep)).to(x.dtype)


def _log_of_exponentials(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keepdim=keep).to(x.dtype)


def reduced(
    x: Tensor,
    axes: Sequence[int] | int | None = None,
    *,
    by: Reduce,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Tensor:
    """ReduceX-13 to 18: no axes are all of them, or with `noop_with_empty_axes` none."""
    if isinstance(axes, int):
        axes = [axes]
    if not axes:
        if noop_with_empty_axes:
            return by(x.unsqueeze(-1), (x.dim(),), _DROPPED)
        axes = range(x.dim())
    if x.dim() == 0:
        return by(x.unsqueeze(0), (0,), _DROPPED)
    return by(x, tuple(a % x.dim() for a in axes), bool(keepdims))


def reduced_1(
    x: Tensor, *, by: Reduce, axes: tuple[int, ...] | None = None, keepdims: int = 1
) -> Tensor:
    """ReduceX-1 to 13: the axes are an attribute."""
    return reduced(x, axes, by=by, keepdims=keepdims)


def _since(by: Reduce, version: int) -> Mapping[int, Operator]:
    newer = Operator(partial(reduced, by=by), host=(1,))
    return {1: Operator(partial(reduced_1, by=by)), version: newer}


def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """ArgMax-12."""
    best = torch.amax(x, axis, keepdim=True)
    return _place(x == best, axis, keepdims, last=bool(select_last_index))


def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """ArgMin-12."""
    best = torch.amin(x, axis, keepdim=True)
    return _place(x == best, axis, keepdims, last=bool(select_last_index))


def _place(hit: Tensor, axis: int, keepdims: int, *, last: bool) -> Tensor:
    """The first or last place along an axis where `hit` is true; torch promises neither."""
    size = hit.shape[axis]
    shape = [1] * hit.dim()
    shape[axis] = size
    places = torch.arange(size, device=hit.device).view(shape)
    if last:
        return torch.where(hit, places, -1).amax(axis, keepdim=bool(keepdims))
    return torch.where(hit, places, size).amin(axis, keepdim=bool(keepdims)).clamp(max=size - 1)


def cumulative_sum(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """CumSum-11."""
    return _cumulative(partial(torch.cumsum, dtype=x.dtype), x, axis, exclusive, reverse, 0)


def cumulative_product(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """CumProd-26."""
    return _cumulative(partial(torch.cumprod, dtype=x.dtype), x, axis, exclusive, reverse, 1)


def _cumulative(
    run: Callable[..., Tensor], x: Tensor, axis: Any, exclusive: int, reverse: int, neutral: int
) -> Tensor:
    along = int(axis[0] if isinstance(axis, list) else axis) % x.dim()
    if reverse:
        x = x.flip(along)
    if exclusive:
        first = torch.full_like(x.narrow(along, 0, 1), neutral)
        x = torch.cat([first, x.narrow(along, 0, x.shape[along] - 1)], along)
    result = run(x, dim=along)
    return result.flip(along) if reverse else result


def top_k(
    x: Tensor,
    k: Any,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> Any:
    """TopK-11: of equal values the one of the lower index comes first."""
    count = int(k[0] if isinstance(k, list) else k)
    values, places = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


def top_k_1(x: Tensor, *, k: int, axis: int = -1) -> Any:
    """TopK-1: the number is an attribute."""
    return top_k(x, k, axis=axis)


TABLE: Table = {
    **since_first(ArgMax=arg_max, ArgMin=arg_min),
    "ReduceSum": _since(_sum, 13),
    "ReduceMean": _since(_mean, 18),
    "ReduceMax": _since(_largest, 18),
    "ReduceMin": _since(_smallest, 18),
    "ReduceProd": _since(_product, 18),
    "ReduceL1": _since(_absolute_sum, 18),
    "ReduceL2": _since(_norm, 18),
    "ReduceSumSquare": _since(_sum_of_squares, 18),
    "ReduceLogSum": _since(_log_of_sum, 18),
    "ReduceLogSumExp": _since(_log_of_exponentials, 18),
    "CumSum": {11: Operator(cumulative_sum, host=(1,))},
    "CumProd": {26: Operator(cumulative_product, host=(1,))},
    "TopK": {1: Operator(top_k_1), 10: Operator(top_k, host=(1,))},
}
