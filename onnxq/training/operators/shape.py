"""Operators that arrange elements anew, and those that ask for shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.types import TORCH_TYPES

_ENDLESS = 1 << 62


def reshape(x: Tensor, shape: Sequence[int], *, allowzero: int = 0) -> Tensor:
    """Reshape-5: a zero copies the dimension, unless `allowzero` is set."""
    if not allowzero and 0 in shape:
        shape = [x.shape[axis] if n == 0 else n for axis, n in enumerate(shape)]
    return torch.reshape(x, tuple(shape))


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Flatten-9: two axes, of which the first holds those before `axis`."""
    if axis < 0:
        axis += x.dim()
    rows = 1
    for n in x.shape[:axis]:
        rows *= n
    return x.reshape(rows, -1) if x.numel() else x.reshape(rows, x.shape[axis:].numel())


def squeeze(x: Tensor, axes: Sequence[int] | int | None = None) -> Tensor:
    """Squeeze-13: the axes are an input."""
    if axes is None:
        return torch.squeeze(x)
    return torch.squeeze(x, axes if isinstance(axes, int) else tuple(axes))


def squeeze_1(x: Tensor, *, axes: tuple[int, ...] | None = None) -> Tensor:
    """Squeeze-1: the axes are an attribute."""
    return squeeze(x, axes)


def unsqueeze(x: Tensor, axes: Sequence[int] | int) -> Tensor:
    """Unsqueeze-13: the axes are those of the result; engines take a lone number too."""
    if isinstance(axes, int):
        return torch.unsqueeze(x, axes)
    if len(axes) == 1:
        return torch.unsqueeze(x, axes[0])
    rank = x.dim() + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = torch.unsqueeze(x, axis)
    return x


def unsqueeze_1(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Unsqueeze-1: the axes are an attribute."""
    return unsqueeze(x, axes)


def transpose(x: Tensor, *, perm: tuple[int, ...] | None = None) -> Tensor:
    """Transpose-1."""
    return x.permute(perm if perm is not None else tuple(reversed(range(x.dim()))))


def concat(*values: Tensor, axis: int) -> Tensor:
    """Concat-4."""
    return torch.cat(values, axis)


def split(
    x: Tensor,
    sizes: Sequence[int] | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    outputs: int = 1,
) -> Any:
    """Split-13 and 18: equal parts by default, of which the last may be smaller."""
    if sizes is None:
        count = num_outputs or outputs
        part = -(-x.shape[axis] // count)
        sizes = [part] * (count - 1) + [x.shape[axis] - part * (count - 1)]
    return tuple(torch.split(x, list(sizes), axis))


def split_2(
    x: Tensor, *, axis: int = 0, split: tuple[int, ...] | None = None, outputs: int = 1
) -> Any:
    """Split-2: the sizes are an attribute."""
    sizes = split
    if sizes is None:
        sizes = (x.shape[axis] // outputs,) * outputs
    return tuple(torch.split(x, list(sizes), axis))


def slice_axes(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    """Slice-10; steps may be negative."""
    for position, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = position if axes is None else axes[position] % x.dim()
        step = 1 if steps is None else steps[position]
        x = _sliced(x, axis, start, end, step)
    return x


def _sliced(x: Tensor, axis: int, start: int, end: int, step: int) -> Tensor:
    size = x.shape[axis]
    if step > 0:
        first = max(start + size, 0) if start < 0 else min(start, size)
        last = max(end + size, 0) if end < 0 else min(end, size)
        whole = (slice(None),) * axis
        return x[(*whole, slice(first, max(first, last), step))]
    first = max(start + size, -1) if start < 0 else min(start, size - 1)
    last = max(end + size, -1) if end < 0 else min(end, size - 1)
    places = torch.arange(first, last, step, device=x.device) if first > last else None
    if places is None:
        return x.narrow(axis, 0, 0)
    return torch.index_select(x, axis, places)


def slice_1(
    x: Tensor,
    *,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...] | None = None,
) -> Tensor:
    """Slice-1: the bounds are attributes."""
    return slice_axes(x, starts, ends, axes)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Expand-8: a one in the shape leaves the input's dimension."""
    extra = max(len(shape) - x.dim(), 0)
    target = [1] * (x.dim() - len(shape)) + list(shape)
    for axis, n in enumerate(x.shape, extra):
        if n != 1:
            target[axis] = n
    return x.expand(target)


def tile(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """Tile-6."""
    return x.repeat(tuple(repeats))


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(
    x: Tensor,
    pads: Sequence[int],
    value: Any = None,
    axes: Sequence[int] | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Pad-11 to 25: negative padding crops."""
    begins, ends = [0] * x.dim(), [0] * x.dim()
    chosen = range(x.dim()) if axes is None else [a % x.dim() for a in axes]
    for position, axis in enumerate(chosen):
        begins[axis], ends[axis] = pads[position], pads[len(chosen) + position]
    if mode == "constant":
        amounts = [n for pair in zip(reversed(begins), reversed(ends), strict=True) for n in pair]
        while len(amounts) > 2 and amounts[-1] == amounts[-2] == 0:
            del amounts[-2:]
        return F.pad(x, amounts, value=0 if value is None else _scalar(value))
    for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if begin or end:
            x = torch.index_select(x, axis, _places(x, axis, begin, end, mode))
    return x


def _scalar(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _places(x: Tensor, axis: int, begin: int, end: int, mode: str) -> Tensor:
    """Where along an axis each element of the padded tensor comes from."""
    size = x.shape[axis]
    places = torch.arange(-begin, size + end, device=x.device)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places.remainder(size)
    period = max(2 * (size - 1), 1)
    folded = places.remainder(period)
    return torch.where(folded >= size, period - folded, folded)


def pad_2(
    x: Tensor, *, pads: tuple[int, ...], mode: str = "constant", value: float = 0.0
) -> Tensor:
    """Pad-2: everything is an attribute."""
    return pad(x, pads, value, mode=mode)


def shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Shape-15. The result lies in main memory wherever the tensor does."""
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def size_of(x: Tensor) -> Tensor:
    """Size-1. The result lies in main memory wherever the tensor does."""
    return torch.tensor(x.numel(), dtype=torch.int64)


def constant_of_shape(shape: Sequence[int], *, value: Tensor | None = None) -> Tensor:
    """ConstantOfShape-9."""
    if value is None:
        return torch.zeros(tuple(shape))
    return value.reshape(()).expand(tuple(shape)).clone()


def arange(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Range-11."""
    bounds = (start.item(), limit.item(), delta.item())
    return torch.arange(*bounds, dtype=start.dtype, device=start.device)


def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """EyeLike-9."""
    kind = x.dtype if dtype is None else TORCH_TYPES[dtype]
    ones = torch.ones(x.shape, dtype=kind, device=x.device)
    return torch.triu(torch.tril(ones, k), k)


def center_crop_pad(
    x: Tensor, shape: Sequence[int], *, axes: tuple[int, ...] | None = None
) -> Tensor:
    """CenterCropPad-18."""
    chosen = range(x.dim()) if axes is None else axes
    begins, ends = [0] * x.dim(), [0] * x.dim()
    for axis, wanted in zip(chosen, shape, strict=True):
        more = wanted - x.shape[axis]
        # The odd one is padded at the end, and cropped at the end.
        begins[axis] = more // 2 if more >= 0 else -(-more // 2)
        ends[axis] = more - begins[axis]
    return pad(x, [*begins, *ends])


TABLE: Table = {
    **since_first(Flatten=flatten, Transpose=transpose, Concat=concat, EyeLike=eye_like),
    "Shape": {1: Operator(shape_of, shape_only=True)},
    "Size": {1: Operator(size_of, shape_only=True)},
    "Reshape": {5: Operator(reshape, host=(1,))},
    "Squeeze": {1: Operator(squeeze_1), 13: Operator(squeeze, host=(1,))},
    "Unsqueeze": {1: Operator(unsqueeze_1), 13: Operator(unsqueeze, host=(1,))},
    "Split": {
        2: Operator(split_2, counts_outputs=True),
        13: Operator(split, host=(1,), counts_outputs=True),
    },
    "Slice": {1: Operator(slice_1), 10: Operator(slice_axes, host=(1, 2, 3, 4))},
    "Expand": {8: Operator(expand, host=(1,))},
    "Tile": {6: Operator(tile, host=(1,))},
    "Pad": {2: Operator(pad_2), 11: Operator(pad, host=(1, 2, 3))},
    "ConstantOfShape": {9: Operator(constant_of_shape, host=(0,))},
    "Range": {11: Operator(arange, free_shape=True)},
    "CenterCropPad": {18: Operator(center_crop_pad, host=(1,))},
}
