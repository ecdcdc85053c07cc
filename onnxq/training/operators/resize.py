"""Resizing and sampling of maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators import coordinates
from onnxq.training.operators.compiling import constant_result
from onnxq.training.operators.coordinates import Axis
from onnxq.training.operators.operator import Operator, Table


def resize(
    x: Tensor,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: tuple[int, ...] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """Resize-11 to 19; a region, scales and sizes are plain numbers."""
    chosen = tuple(range(x.dim())) if axes is None else tuple(a % x.dim() for a in axes)
    lines = _lines(x, chosen, roi, scales, sizes, keep_aspect_ratio_policy)
    changed = {
        axis: line
        for axis, line in lines.items()
        if line.before != line.after
        or line.scale != 1.0
        or coordinate_transformation_mode == "tf_crop_and_resize"
    }
    quick = _interpolated(x, changed, mode, coordinate_transformation_mode, antialias, scales)
    if quick is not None:
        return quick
    for axis, line in changed.items():
        if mode == "nearest":
            source = _nearest(line, coordinate_transformation_mode, nearest_mode)
            x = torch.index_select(x, axis, source.to(x.device))
            continue
        matrix = _matrix(
            line,
            coordinate_transformation_mode,
            mode,
            cubic_coeff_a,
            bool(exclude_outside),
            bool(antialias),
        )
        weight = matrix.to(x.device, x.dtype)
        x = torch.matmul(x.movedim(axis, -1), weight.t()).movedim(-1, axis)
    if coordinate_transformation_mode == "tf_crop_and_resize":
        x = _outside(x, changed, extrapolation_value)
    return x


def _lines(
    x: Tensor,
    chosen: tuple[int, ...],
    roi: Any,
    scales: Any,
    sizes: Any,
    policy: str,
) -> dict[int, Axis]:
    """The axes to be resized."""
    regions = [(0.0, 1.0)] * len(chosen)
    if roi:
        regions = list(zip(roi[: len(chosen)], roi[len(chosen) :], strict=True))
    if sizes:
        factors = [n / x.shape[axis] for axis, n in zip(chosen, sizes, strict=True)]
        if policy != "stretch":
            one = min(factors) if policy == "not_larger" else max(factors)
            factors = [one] * len(chosen)
            sizes = [int(np.floor(one * x.shape[axis] + 0.5)) for axis in chosen]
        afters = list(sizes)
    else:
        factors = list(scales)
        afters = []
        for axis, factor, (start, end) in zip(chosen, factors, regions, strict=True):
            afters.append(int(np.floor(x.shape[axis] * (end - start) * factor)))
    return {
        axis: Axis(x.shape[axis], int(after), float(factor), (float(region[0]), float(region[1])))
        for axis, after, factor, region in zip(chosen, afters, factors, regions, strict=True)
    }


_ALIGNED = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}


def _interpolated(
    x: Tensor, changed: dict[int, Axis], mode: str, places: str, antialias: int, scales: Any
) -> Tensor | None:
    """The result by torch's own bilinear kernel, where it means the same."""
    fits = mode == "linear" and places in _ALIGNED and not antialias and x.dim() == 4
    if not fits or not changed or not set(changed) <= {2, 3} or not x.is_floating_point():
        return None
    lines = [changed.get(axis, Axis(x.shape[axis], x.shape[axis], 1.0)) for axis in (2, 3)]
    exact = all(line.after == round(line.before * line.scale, 6) for line in lines)
    if min(line.after for line in lines) < 2 or not exact:
        return None
    size = [line.after for line in lines]
    return F.interpolate(x, size, mode="bilinear", align_corners=_ALIGNED[places])


@constant_result
@lru_cache(maxsize=256)
def _nearest(line: Axis, places: str, rounding: str) -> Tensor:
    """The places along an axis that a nearest resize reads."""
    at = coordinates.places(places, line)
    index = coordinates.ROUNDINGS[rounding](at)
    return torch.from_numpy(np.clip(index, 0, line.before - 1).astype(np.int64))


@constant_result
@lru_cache(maxsize=256)
def _matrix(line: Axis, places: str, mode: str, a: float, inside: bool, antialias: bool) -> Tensor:
    """The matrix [outputs, inputs] that resizes an axis."""
    at = coordinates.places(places, line)
    cubic = partial(coordinates.cubic_kernel, a=a)
    kernel, reach = (cubic, 2) if mode == "cubic" else (coordinates.linear_kernel, 1)
    stretch = max(1.0, 1.0 / line.scale) if antialias else 1.0
    matrix = coordinates.weights(at, line.before, kernel, reach, stretch=stretch, inside=inside)
    return torch.from_numpy(matrix)


def _outside(x: Tensor, changed: dict[int, Axis], value: float) -> Tensor:
    """Fill what was read from beyond the input."""
    for axis, line in changed.items():
        at = coordinates.places("tf_crop_and_resize", line)
        beyond = torch.from_numpy((at < 0) | (at > line.before - 1)).to(x.device)
        shape = [1] * x.dim()
        shape[axis] = -1
        x = torch.where(beyond.view(shape), torch.full_like(x, value), x)
    return x


def resize_10(x: Tensor, scales: Sequence[float], *, mode: str = "nearest") -> Tensor:
    """Resize-10 and Upsample-9."""
    return resize(
        x,
        None,
        scales,
        mode=mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def upsample_7(x: Tensor, *, scales: tuple[float, ...], mode: str = "nearest") -> Tensor:
    """Upsample-7: the scales are an attribute."""
    return resize_10(x, scales, mode=mode)


_SAMPLING = {"linear": "bilinear", "cubic": "bicubic"}


def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    """GridSample-16 to 22."""
    kind = _SAMPLING.get(mode, mode)
    return F.grid_sample(x, grid.to(x.dtype), kind, padding_mode, bool(align_corners))


def affine_grid(theta: Tensor, size: Sequence[int], *, align_corners: int = 0) -> Tensor:
    """AffineGrid-20."""
    return F.affine_grid(theta, list(size), bool(align_corners))


TABLE: Table = {
    "Resize": {10: Operator(resize_10, host=(1,)), 11: Operator(resize, host=(1, 2, 3))},
    "Upsample": {7: Operator(upsample_7), 9: Operator(resize_10, host=(1,))},
    "GridSample": {16: Operator(grid_sample)},
    "AffineGrid": {20: Operator(affine_grid, host=(1,))},
}
