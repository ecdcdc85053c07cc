"""Outputs that are images: peak signal-to-noise ratio and structural similarity.

An output is taken for images if it has four axes, one, three or four channels (before or after
the two of the picture) and sides of at least 16. With L the range of values,

    PSNR = 10 log10(L² / mean (x - y)²)
    SSIM = mean of (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2))

with C1 = (0.01 L)², C2 = (0.03 L)² and local moments under a Gaussian of σ = 1.5, cut at 11 × 11,
where the window fits into the picture (Wang et al. 2004, IEEE Transactions on Image Processing
13(4), section III.C). L is 255 for bytes. For floats it is the least of 1 (values in [0, 1]), 2
([-1, 1]) and 255 ([0, 255]) that holds the reference, which may stick out by a tenth; or else the
reference's own extent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, Run
from onnxq.measure.fidelity import Fidelity, ImageQuality, compare_outputs

_SMALLEST_SIDE = 16
_CHANNELS = (1, 3, 4)
_AXES = 4
_DEVIATION, _REACH = 1.5, 5
_K1, _K2 = 0.01, 0.03
_CAP = 100.0
"""PSNR in dB that equal images count as, beside others that differ."""
_BYTE = 255.0
_FLOAT_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, _BYTE))
_SLACK = 0.1

Image = NDArray[np.float64]


class ImageMeter:
    """Accumulates the likeness of images, batch by batch."""

    def __init__(self) -> None:
        self._ratios: list[float] = []
        self._similarities: list[float] = []

    def add(self, reference: Any, judged: Any) -> None:
        """Compare two outputs; what is no image, or of another shape, is passed over."""
        axis = channel_axis(reference)
        if axis is None or getattr(judged, "shape", None) != reference.shape:
            return
        for a, b in zip(reference, judged, strict=True):
            first, second = (np.moveaxis(v, axis - 1, 0).astype(np.float64) for v in (a, b))
            if not (np.isfinite(first).all() and np.isfinite(second).all()):
                self._ratios.append(-math.inf)
                self._similarities.append(0.0)
                continue
            span = value_range(a)
            self._ratios.append(_peak_ratio(first, second, span))
            self._similarities.append(structural_similarity(first, second, span))

    def result(self) -> ImageQuality | None:
        """The likeness so far; None if there was no image."""
        if not self._ratios:
            return None
        equal = all(ratio == math.inf for ratio in self._ratios)
        mean = math.inf if equal else float(np.mean([min(r, _CAP) for r in self._ratios]))
        return ImageQuality(mean, float(np.mean(self._similarities)), len(self._ratios))


def compare_results(run_a: Run, run_b: Run, feeds: Iterable[Feed]) -> dict[str, Fidelity]:
    """As `compare_outputs`, and outputs that are images are compared as images too.

    Raises:
        DataError: if there is no feed.
    """
    meters: dict[str, ImageMeter] = {}
    latest: Mapping[str, Any] = {}

    def first(feed: Feed) -> Mapping[str, Any]:
        nonlocal latest
        latest = run_a(feed)
        return latest

    def second(feed: Feed) -> Mapping[str, Any]:
        outputs = run_b(feed)
        for name in latest.keys() & outputs.keys():
            meters.setdefault(name, ImageMeter()).add(latest[name], outputs[name])
        return outputs

    found = compare_outputs(first, second, feeds)
    return {
        name: replace(one, images=meters[name].result()) if name in meters else one
        for name, one in found.items()
    }


def channel_axis(value: Any) -> int | None:
    """The axis of the channels of a batch of images; None if it is none."""
    if not isinstance(value, np.ndarray) or value.ndim != _AXES or not value.size:
        return None
    if value.dtype.kind != "f" and value.dtype != np.uint8:
        return None
    for axis, sides in ((1, value.shape[2:]), (3, value.shape[1:3])):
        if value.shape[axis] in _CHANNELS and min(sides) >= _SMALLEST_SIDE:
            return axis
    return None


def value_range(reference: NDArray[Any]) -> float:
    """The range of values that an image has by convention, or else its own."""
    if reference.dtype == np.uint8:
        return _BYTE
    low, high = float(reference.min()), float(reference.max())
    for bottom, top in _FLOAT_RANGES:
        slack = _SLACK * (top - bottom)
        if bottom - slack <= low and high <= top + slack:
            return top - bottom
    # A flat picture beyond every convention has no extent to speak of.
    return high - low or 1.0


def structural_similarity(first: Image, second: Image, span: float) -> float:
    """SSIM of two images, the mean over their channels.

    Args:
        first: [channels, height, width], both at least 11.
        second: The same shape.
        span: The range of values, L.
    """
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    mean_a, mean_b = _blurred(first), _blurred(second)
    variance_a = _blurred(first * first) - mean_a * mean_a
    variance_b = _blurred(second * second) - mean_b * mean_b
    covariance = _blurred(first * second) - mean_a * mean_b
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(np.mean(above / below))


def _peak_ratio(first: Image, second: Image, span: float) -> float:
    error = float(np.mean((first - second) ** 2))
    if error == 0.0:
        return math.inf
    return 20.0 * math.log10(span) - 10.0 * math.log10(error)


def _blurred(image: Image) -> Image:
    """Gaussian means where the window fits."""
    offsets = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-0.5 * (offsets / _DEVIATION) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        size = image.shape[axis] - 2 * _REACH
        parts = (
            weight * np.take(image, range(start, start + size), axis=axis)
            for start, weight in enumerate(weights)
        )
        image = sum(parts, np.zeros(()))
    return image
