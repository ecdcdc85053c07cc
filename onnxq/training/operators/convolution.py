"""Convolutions. torch pads both ends alike; any other padding is an operation before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.windows import explicit_pads, is_symmetric, ones, torch_order

_FORWARD: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    3: F.conv_transpose1d,
    4: F.conv_transpose2d,
    5: F.conv_transpose3d,
}


def convolution(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """Conv-1: x [N, C, D1…], w [M, C/group, k1…], b [M]."""
    rank = w.dim() - 2
    strides = strides or ones(rank)
    dilations = dilations or ones(rank)
    if pads is None or auto_pad not in ("NOTSET", ""):
        pads = explicit_pads(auto_pad, pads, x.shape[2:], w.shape[2:], strides, dilations)
    if is_symmetric(pads):
        return _FORWARD[rank + 2](x, w, b, strides, pads[:rank], dilations, group)
    padded = F.pad(x, torch_order(pads))
    return _FORWARD[rank + 2](padded, w, b, strides, 0, dilations, group)


def transposed_convolution(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """ConvTranspose-1: x [N, C, D1…], w [C, M/group, k1…], b [M].

    Padding crops the full result; a negative one, as a large output shape asks for, widens it.
    """
    rank = w.dim() - 2
    strides = strides or ones(rank)
    dilations = dilations or ones(rank)
    extra = output_padding or (0,) * rank
    kernel = tuple(w.shape[2:])
    if auto_pad not in ("NOTSET", "") or output_shape is not None:
        full = [
            s * (n - 1) + e + (k - 1) * d + 1
            for n, s, e, k, d in zip(x.shape[2:], strides, extra, kernel, dilations, strict=True)
        ]
        pads = _transposed_pads(auto_pad, full, x.shape[2:], strides, output_shape, pads)
    pads = pads or (0,) * (2 * rank)
    run = _TRANSPOSED[rank + 2]
    if is_symmetric(pads) and all(
        e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)
    ):
        return run(x, w, b, strides, pads[:rank], extra, group, dilations)
    whole = run(x, w, b, strides, 0, 0, group, dilations)
    ends = tuple(e - p for e, p in zip(extra, pads[rank:], strict=True))
    return _cropped(whole, tuple(-p for p in pads[:rank]) + ends, b)


def _transposed_pads(
    auto_pad: str,
    full: list[int],
    extents: Any,
    strides: tuple[int, ...],
    output_shape: tuple[int, ...] | None,
    pads: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """The padding that gives the output shape wanted."""
    rank = len(full)
    if output_shape is not None:
        wanted = list(output_shape)[-rank:]
    elif auto_pad == "VALID":
        return pads or (0,) * (2 * rank)
    else:
        wanted = [n * s for n, s in zip(extents, strides, strict=True)]
    whole = [f - n for f, n in zip(full, wanted, strict=True)]
    # The specification gives the odd one to the beginning, unless SAME_UPPER is asked for.
    upper = auto_pad == "SAME_UPPER"
    begins = [w // 2 if upper else w - w // 2 for w in whole]
    ends = [w - b for w, b in zip(whole, begins, strict=True)]
    return (*begins, *ends)


def _cropped(x: Tensor, change: tuple[int, ...], bias: Tensor | None) -> Tensor:
    """Crop or widen; what is added holds the bias, as no input reaches it."""
    if max(change, default=0) <= 0 or bias is None:
        return F.pad(x, torch_order(change))
    rank = len(change) // 2
    shape = (1, -1) + (1,) * rank
    return F.pad(x - bias.view(shape), torch_order(change)) + bias.view(shape)


def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """DepthToSpace-13."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return F.pixel_shuffle(x, b)
    parts = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """SpaceToDepth-1: the blocks' positions come before the channels."""
    n, c, h, w = x.shape
    b = blocksize
    parts = x.reshape(n, c, h // b, b, w // b, b)
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return parts.permute(*order).reshape(n, c * b * b, h // b, w // b)


def columns_to_image(
    x: Tensor,
    image_shape: list[int],
    block_shape: list[int],
    *,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    """Col2Im-18: x [N, C · block, positions]; what falls together is added up."""
    rank = len(image_shape)
    pads = pads or (0,) * (2 * rank)
    padded = [n + a + b for n, a, b in zip(image_shape, pads[:rank], pads[rank:], strict=True)]
    places = _positions(padded, block_shape, dilations or ones(rank), strides or ones(rank))
    places = places.to(x.device)
    columns = x.reshape(x.shape[0], -1, places.numel())
    image = x.new_zeros(columns.shape[0], columns.shape[1], math.prod(padded))
    image = image.index_add(2, places.reshape(-1), columns)
    image = image.reshape(*image.shape[:2], *padded)
    return F.pad(image, torch_order(tuple(-p for p in pads)))


def _positions(
    extents: Sequence[int],
    block: Sequence[int],
    dilations: Sequence[int],
    strides: Sequence[int],
) -> Tensor:
    """Flat places in an image, of each element of a block [k1…] at each position [o1…]."""
    rank = len(block)
    flat = torch.zeros((1,) * (2 * rank), dtype=torch.int64)
    for axis, (n, k, d, s) in enumerate(zip(extents, block, dilations, strides, strict=True)):
        count = (n - (k - 1) * d - 1) // s + 1
        along = torch.arange(k).unsqueeze(1) * d + torch.arange(count) * s
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = k, count
        flat = flat + along.reshape(shape) * math.prod(extents[axis + 1 :])
    return flat


TABLE: Table = {
    **since_first(
        Conv=convolution,
        ConvTranspose=transposed_convolution,
        DepthToSpace=depth_to_space,
        SpaceToDepth=space_to_depth,
    ),
    "Col2Im": {18: Operator(columns_to_image, host=(1, 2))},
}
