"""Where the elements of a resized axis come from, and with which weights (ONNX Resize-11 to 19).

An output at x lies at

    half_pixel            (x + 0.5) / scale - 0.5
    half_pixel_symmetric  the same, plus (in / 2) · (1 - out / (scale · in))
    pytorch_half_pixel    the same as half_pixel, but 0 where there is one output only
    align_corners         x · (in - 1) / (out - 1)
    asymmetric            x / scale
    tf_crop_and_resize    start · (in - 1) + x · (end - start) · (in - 1) / (out - 1)

All are computed in float32, as the engine does it: neighbours are chosen by rounding them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """One axis to be resized.

    Attributes:
        before: Its extent.
        after: The extent wanted.
        scale: Outputs per input.
        region: Begin and end of the part that is read, for tf_crop_and_resize.
    """

    before: int
    after: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)


def _half_pixel(x: Floats, axis: Axis) -> Floats:
    scale = np.float32(axis.scale)
    return (x + np.float32(0.5)) / scale - np.float32(0.5)


def _symmetric(x: Floats, axis: Axis) -> Floats:
    adjustment = axis.after / (axis.scale * axis.before)
    offset = axis.before / 2 * (1 - adjustment)
    return np.float32(offset) + _half_pixel(x, axis)


def _pytorch(x: Floats, axis: Axis) -> Floats:
    return _half_pixel(x, axis) if axis.after > 1 else np.zeros_like(x)


def _corners(x: Floats, axis: Axis) -> Floats:
    if axis.after == 1:
        return np.zeros_like(x)
    return x * np.float32(axis.before - 1) / np.float32(axis.after - 1)


def _asymmetric(x: Floats, axis: Axis) -> Floats:
    return x / np.float32(axis.scale)


def _cropped(x: Floats, axis: Axis) -> Floats:
    start, end = axis.region
    last = axis.before - 1
    if axis.after == 1:
        return np.full_like(x, 0.5 * (start + end) * last)
    return np.float32(start * last) + x * np.float32((end - start) * last / (axis.after - 1))


PLACES: dict[str, Callable[[Floats, Axis], Floats]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": _pytorch,
    "align_corners": _corners,
    "asymmetric": _asymmetric,
    "tf_crop_and_resize": _cropped,
}
"""Coordinates in the input of outputs 0, 1, …, by coordinate_transformation_mode."""

ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}
"""How a coordinate becomes an index, by nearest_mode."""


def places(mode: str, axis: Axis) -> Floats:
    """Coordinates of all outputs of an axis."""
    return PLACES[mode](np.arange(axis.after, dtype=np.float32), axis)


def linear_kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The triangle."""
    share: NDArray[np.float64] = np.clip(1 - np.abs(distance), 0, None)
    return share


def cubic_kernel(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel (IEEE Trans. ASSP 29, 1981) with parameter a."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    found: NDArray[np.float64] = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    return found


def weights(
    at: Floats,
    before: int,
    kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    reach: int,
    *,
    stretch: float = 1.0,
    inside: bool = False,
) -> Floats:
    """The matrix that resizes an axis.

    Args:
        at: Coordinates of the outputs.
        before: Extent of the input.
        kernel: The weight of a neighbour, by its distance.
        reach: Distance from which on the kernel is zero.
        stretch: Factor by which the kernel is widened, against aliasing.
        inside: Leave out neighbours beyond the border, rather than repeat the border.

    Returns:
        float32 [outputs, inputs].
    """
    count = int(np.ceil(reach * stretch)) + 1
    base = np.floor(at).astype(np.int64)
    matrix = np.zeros((len(at), before))
    rows = np.arange(len(at))
    for step in range(1 - count, count + 1):
        neighbour = base + step
        share = kernel((neighbour - at.astype(np.float64)) / stretch)
        if inside:
            share = np.where((neighbour >= 0) & (neighbour < before), share, 0.0)
        np.add.at(matrix, (rows, np.clip(neighbour, 0, before - 1)), share)
    total = matrix.sum(1, keepdims=True)
    if inside or stretch != 1:
        matrix = matrix / np.where(total == 0, 1, total)
    found: Floats = matrix.astype(np.float32)
    return found
