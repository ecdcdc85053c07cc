"""Convolutions, pooling, resizing and normalisations with random attributes, against the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Agree = Callable[..., None]


def _floats(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


def _window(random: np.random.Generator, rank: int, kernel: list[int]) -> dict[str, Any]:
    """Random strides, dilations and padding."""
    found: dict[str, Any] = {
        "strides": [int(n) for n in random.integers(1, 3, rank)],
        "dilations": [int(n) for n in random.integers(1, 3, rank)],
    }
    kind = random.integers(0, 4)
    if kind == 0:
        found["auto_pad"] = "SAME_UPPER"
        found["dilations"] = [1] * rank
    elif kind == 1:
        found["auto_pad"] = "SAME_LOWER"
        found["dilations"] = [1] * rank
    elif kind == 2:
        found["pads"] = [int(n) for n in random.integers(0, min(kernel), 2 * rank)]
    return found


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution(rank: int, agree: Agree) -> None:
    for seed in range(6):
        random = np.random.default_rng(seed)
        group = int(random.integers(1, 3))
        kernel = [int(n) for n in random.integers(2, 4, rank)]
        x = _floats(random, 2, 4, *random.integers(6, 9, rank))
        w = _floats(random, 6, 4 // group, *kernel)
        b = _floats(random, 6) if random.random() < 0.5 else None
        attributes = {**_window(random, rank, kernel), "group": group}
        agree("Conv", [x, w, b][: 2 if b is None else 3], attributes, fixed=[1], atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2])
def test_transposed_convolution(rank: int, agree: Agree) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        group = int(random.integers(1, 3))
        kernel = [int(n) for n in random.integers(2, 4, rank)]
        x = _floats(random, 2, 4, *random.integers(3, 6, rank))
        w = _floats(random, 4, 3, *kernel)
        attributes = {**_window(random, rank, kernel), "group": group}
        if "pads" in attributes and random.random() < 0.5:
            attributes["strides"] = [2] * rank
            attributes["output_padding"] = [int(n) for n in random.integers(0, 2, rank)]
        agree("ConvTranspose", [x, w, _floats(random, 3 * group)], attributes, atol=1e-5)


def test_output_shape_of_transposed_convolution(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, w = _floats(random, 1, 2, 4, 5), _floats(random, 2, 3, 3, 3)
    for shape in ([9, 12], [8, 11], [7, 9]):
        agree("ConvTranspose", [x, w], {"strides": [2, 2], "output_shape": shape}, atol=1e-5)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_pooling(op: str, agree: Agree) -> None:
    for seed in range(12):
        random = np.random.default_rng(seed)
        rank = int(random.integers(1, 3))
        kernel = [int(n) for n in random.integers(2, 4, rank)]
        attributes = {**_window(random, rank, kernel), "kernel_shape": kernel}
        if "auto_pad" not in attributes:
            attributes["ceil_mode"] = int(random.integers(0, 2))
        if op == "AveragePool":
            attributes["count_include_pad"] = int(random.integers(0, 2))
        x = _floats(random, 2, 3, *random.integers(6, 10, rank))
        agree(op, [x], attributes)
        if op == "MaxPool":
            agree(op, [x], attributes, outputs=2)


def test_global_pooling(agree: Agree) -> None:
    x = _floats(np.random.default_rng(0), 2, 3, 4, 5)
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        agree(op, [x])


_PLACES = [
    *("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "half_pixel_symmetric",
]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("places", _PLACES)
def test_resize(mode: str, places: str, agree: Agree) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        x = _floats(random, 1, 2, *random.integers(3, 7, 2))
        attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": places}
        if mode == "nearest":
            attributes["nearest_mode"] = str(
                random.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
            )
        if mode == "cubic":
            attributes["exclude_outside"] = int(random.integers(0, 2))
        scales = np.array([1, 1, *random.choice([0.5, 1, 1.5, 2, 3], 2)], np.float32)
        agree("Resize", [x, None, scales], attributes, fixed=[2], atol=1e-5)
        sizes = np.array([1, 2, *random.integers(2, 10, 2)])
        agree("Resize", [x, None, None, sizes], attributes, fixed=[3], atol=1e-5)


def test_older_resize(agree: Agree) -> None:
    x = _floats(np.random.default_rng(0), 1, 2, 4, 5)
    scales = np.array([1, 1, 2, 3], np.float32)
    for mode in ("nearest", "linear"):
        agree("Resize", [x, scales], {"mode": mode}, opset=10, fixed=[1])
        agree("Upsample", [x, scales], {"mode": mode}, opset=9, fixed=[1])
        agree("Upsample", [x], {"mode": mode, "scales": scales.tolist()}, opset=7)


def test_sampling_of_a_grid(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, grid = _floats(random, 2, 3, 5, 6), random.uniform(-1.3, 1.3, (2, 4, 4, 2))
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for corners in (0, 1):
                attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
                inputs = [x, grid.astype(np.float32)]
                agree("GridSample", inputs, attributes, opset=16, atol=1e-4)


def test_normalisations(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, scale, bias = _floats(random, 2, 4, 3, 5), _floats(random, 4), _floats(random, 4)
    mean, variance = _floats(random, 4), np.abs(_floats(random, 4)) + 0.5
    agree("BatchNormalization", [x, scale, bias, mean, variance], {"epsilon": 1e-3})
    agree("InstanceNormalization", [x, scale, bias], atol=1e-5)
    agree("GroupNormalization", [x, scale, bias], {"num_groups": 2}, atol=1e-5)
    for size in (3, 5):
        agree("LRN", [x], {"size": size, "alpha": 0.1, "beta": 0.5, "bias": 1.5})
    for axis in (-1, 2, 1):
        shape = x.shape[axis:]
        inputs = [x, _floats(random, *shape), _floats(random, *shape)]
        agree("LayerNormalization", inputs, {"axis": axis}, atol=1e-5)
        agree("LayerNormalization", inputs, {"axis": axis}, outputs=3, atol=1e-5)
    for axis in (0, 1, -1):
        for p in (1, 2):
            agree("LpNormalization", [x], {"axis": axis, "p": p})
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            agree(op, [x], {"axis": axis})
            agree(op, [x], {"axis": axis}, opset=11)
    agree("MeanVarianceNormalization", [x], atol=1e-5)
