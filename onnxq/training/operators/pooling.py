"""Pooling over windows and over whole maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.windows import explicit_pads, is_symmetric, ones, torch_order

_MAX: dict[int, Callable[..., Any]] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., Tensor]] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


def _lowest(x: Tensor) -> float:
    return float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min


def _ceiling_pads(
    extents: Any,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
) -> tuple[int, ...]:
    """The padding that gives as many outputs as ceil_mode asks for.

    A window that would begin in the padding at the end is left out.
    """
    rank = len(kernel)
    ends = []
    for axis, n in enumerate(extents):
        begin, end, stride = pads[axis], pads[rank + axis], strides[axis]
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        count = -(-(n + begin + end - reach) // stride) + 1
        if (count - 1) * stride >= n + begin:
            count -= 1
        ends.append(max((count - 1) * stride + reach - n - begin, end))
    return (*pads[:rank], *ends)


def max_pool(
    x: Tensor,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    storage_order: int = 0,
    strides: tuple[int, ...] | None = None,
    outputs: int = 1,
) -> Any:
    """MaxPool-1 to 12: padding never wins."""
    rank = len(kernel_shape)
    strides, dilations = strides or ones(rank), dilations or ones(rank)
    pads = explicit_pads(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    if ceil_mode:
        pads = _ceiling_pads(x.shape[2:], kernel_shape, strides, dilations, pads)
    fits = is_symmetric(pads) and all(
        2 * p <= k for p, k in zip(pads[:rank], kernel_shape, strict=True)
    )
    if outputs > 1:
        return _max_with_places(x, kernel_shape, strides, dilations, pads, storage_order)
    if fits:
        return _MAX[rank + 2](x, kernel_shape, strides, pads[:rank], dilations)
    padded = F.pad(x, torch_order(pads), value=_lowest(x))
    return _MAX[rank + 2](padded, kernel_shape, strides, 0, dilations)


def _max_with_places(
    x: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    storage_order: int,
) -> tuple[Tensor, Tensor]:
    """The largest values, and their places counted over the whole input."""
    places = torch.arange(x.numel(), device=x.device, dtype=torch.float64).view(x.shape)
    if storage_order:
        spatial = x[0, 0].numel()
        inner = torch.arange(spatial, device=x.device, dtype=torch.float64)
        turned = inner.view(tuple(reversed(x.shape[2:])))
        turned = turned.permute(*reversed(range(x.dim() - 2)))
        first = torch.arange(x.shape[0] * x.shape[1], device=x.device, dtype=torch.float64)
        base = (first * spatial).view(*x.shape[:2], *(1,) * (x.dim() - 2))
        places = base + turned
    rank = len(kernel)
    padded = F.pad(x, torch_order(pads), value=_lowest(x))
    run = _MAX[rank + 2]
    values, local = run(padded, kernel, strides, 0, dilations, return_indices=True)
    spread = F.pad(places, torch_order(pads)).flatten(2)
    found = torch.gather(spread, 2, local.flatten(2)).view(local.shape)
    return values, found.to(torch.int64)


def average_pool(
    x: Tensor,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """AveragePool-7 to 22."""
    rank = len(kernel_shape)
    strides, dilations = strides or ones(rank), dilations or ones(rank)
    given = explicit_pads(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    plain = is_symmetric(given) and not ceil_mode and set(dilations) <= {1}
    if plain and all(2 * p <= k for p, k in zip(given[:rank], kernel_shape, strict=True)):
        inside = bool(count_include_pad)
        return _AVERAGE[rank + 2](
            x, kernel_shape, strides, given[:rank], ceil_mode=False, count_include_pad=inside
        )
    wide = given
    if ceil_mode:
        wide = _ceiling_pads(x.shape[2:], kernel_shape, strides, dilations, given)
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    if count_include_pad:
        counted = F.pad(counted, torch_order(given), value=1.0)
        left = tuple(w - g for w, g in zip(wide, given, strict=True))
        counted = F.pad(counted, torch_order(left))
    else:
        counted = F.pad(counted, torch_order(wide))
    sums = _window_sums(F.pad(x, torch_order(wide)), kernel_shape, strides, dilations)
    return sums / _window_sums(counted, kernel_shape, strides, dilations)


def _window_sums(
    x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> Tensor:
    """Sums over windows of an input that is padded already."""
    rank = len(kernel)
    if set(dilations) <= {1}:
        size = 1
        for k in kernel:
            size *= k
        return _AVERAGE[rank + 2](x, kernel, strides) * size
    channels = x.shape[1]
    weight = torch.ones((channels, 1, *kernel), dtype=x.dtype, device=x.device)
    run = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[rank + 2]
    return run(x, weight, None, strides, 0, dilations, channels)


def lp_pool(
    x: Tensor,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    p: int = 2,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """LpPool-18."""
    rank = len(kernel_shape)
    strides, dilations = strides or ones(rank), dilations or ones(rank)
    pads = explicit_pads(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    if ceil_mode:
        pads = _ceiling_pads(x.shape[2:], kernel_shape, strides, dilations, pads)
    powers = F.pad(x.abs().pow(p), torch_order(pads))
    return _window_sums(powers, kernel_shape, strides, dilations).pow(1.0 / p)


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


def global_average_pool(x: Tensor) -> Tensor:
    """GlobalAveragePool-1."""
    return torch.mean(x, _spatial(x), keepdim=True)


def global_max_pool(x: Tensor) -> Tensor:
    """GlobalMaxPool-1."""
    return torch.amax(x, _spatial(x), keepdim=True)


def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """GlobalLpPool-2."""
    return x.abs().pow(p).sum(_spatial(x), keepdim=True).pow(1.0 / p)


def max_unpool(
    x: Tensor,
    places: Tensor,
    output_shape: list[int] | None = None,
    *,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """MaxUnpool-11: the places count over the result, as ONNX Runtime takes them."""
    rank = len(kernel_shape)
    strides, pads = strides or ones(rank), pads or (0,) * (2 * rank)
    pooled = [
        (n - 1) * s + k - a - b
        for n, s, k, a, b in zip(
            x.shape[2:], strides, kernel_shape, pads[:rank], pads[rank:], strict=True
        )
    ]
    shape = tuple(output_shape) if output_shape else (*x.shape[:2], *pooled)
    return x.new_zeros(shape).flatten().scatter(0, places.flatten(), x.flatten()).view(shape)


TABLE: Table = {
    **since_first(
        AveragePool=average_pool,
        LpPool=lp_pool,
        GlobalAveragePool=global_average_pool,
        GlobalMaxPool=global_max_pool,
        GlobalLpPool=global_lp_pool,
    ),
    "MaxPool": {1: Operator(max_pool, counts_outputs=True)},
    "MaxUnpool": {9: Operator(max_unpool, host=(2,))},
}
