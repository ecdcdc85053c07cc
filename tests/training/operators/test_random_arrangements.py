"""Operators that arrange and index, with random attributes, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Agree = Callable[..., None]


def _floats(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_slices(seed: int, agree: Agree) -> None:
    random = np.random.default_rng(seed)
    x = _floats(random, 4, 5, 6)
    axes = random.choice(3, 2, replace=False)
    starts, ends = random.integers(-7, 8, 2), random.integers(-7, 8, 2)
    steps = random.choice([-2, -1, 1, 2], 2)
    agree("Slice", [x, starts, ends, axes, steps], fixed=[1, 2, 3, 4])
    agree("Slice", [x, starts, ends, axes, steps])
    attributes = {"starts": starts.tolist(), "ends": ends.tolist(), "axes": axes.tolist()}
    agree("Slice", [x], attributes, opset=9)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads(mode: str, agree: Agree) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        x = _floats(random, 3, 4, 5)
        low = -1 if mode == "constant" else 0
        pads = random.integers(low, 3, 6)
        agree("Pad", [x, pads], {"mode": mode}, fixed=[1])
        if mode == "constant":
            agree("Pad", [x, pads, np.float32(1.5)], fixed=[1, 2])
            agree("Pad", [x, pads[:4], None, np.array([0, 2])], fixed=[1, 3])
            agree("Pad", [x], {"pads": np.abs(pads).tolist(), "value": 0.5}, opset=10)


def test_shapes(agree: Agree) -> None:
    x = _floats(np.random.default_rng(0), 2, 3, 4)
    agree("Reshape", [x, np.array([0, -1, 2])], fixed=[1])
    agree("Reshape", [x, np.array([4, -1])])
    for axis in (0, 1, 2, 3, -1):
        agree("Flatten", [x], {"axis": axis})
    agree("Transpose", [x], {"perm": [2, 0, 1]})
    agree("Transpose", [x])
    agree("Expand", [x, np.array([5, 1, 3, 1])], fixed=[1])
    agree("Tile", [x, np.array([1, 2, 3])], fixed=[1])
    agree("Shape", [x], {"start": 1, "end": -1})
    agree("Size", [x])
    agree("Unsqueeze", [x, np.array([0, -1])], fixed=[1])
    agree("Unsqueeze", [x], {"axes": [1, 3]}, opset=11)
    agree("Squeeze", [x[:, :1], np.array([1])], fixed=[1])
    agree("Squeeze", [x[:1, :, :1]], {"axes": [0, 2]}, opset=11)
    agree("Squeeze", [x[:1, :, :1]])
    agree("Concat", [x, x[:, :1]], {"axis": 1})
    agree("Split", [x, np.array([1, 3])], {"axis": -1}, outputs=2, fixed=[1])
    agree("Split", [x], {"axis": 1, "num_outputs": 2}, outputs=2)
    agree("Split", [x], {"axis": 2, "split": [1, 3]}, outputs=2, opset=11)
    agree("ConstantOfShape", [np.array([2, 3])])
    agree("Range", [np.int64(1), np.int64(9), np.int64(3)])
    agree("Range", [np.float32(1), np.float32(2), np.float32(0.25)])
    agree("EyeLike", [x[0]], {"k": 1})
    agree("Trilu", [x, np.asarray(1)], {"upper": 0}, fixed=[1])
    agree("DepthToSpace", [_floats(np.random.default_rng(1), 1, 8, 2, 3)], {"blocksize": 2})
    crd = {"blocksize": 2, "mode": "CRD"}
    agree("DepthToSpace", [_floats(np.random.default_rng(1), 1, 8, 2, 3)], crd)
    agree("SpaceToDepth", [_floats(np.random.default_rng(1), 1, 2, 4, 6)], {"blocksize": 2})
    agree("CenterCropPad", [x, np.array([5, 2])], {"axes": [1, 2]}, fixed=[1])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gathering(axis: int, agree: Agree) -> None:
    random = np.random.default_rng(axis + 1)
    x = _floats(random, 3, 4, 5)
    size = x.shape[axis]
    for shape in ((), (1,), (2, 3)):
        indices = random.integers(-size, size, shape)
        agree("Gather", [x, np.asarray(indices)], {"axis": axis})
        agree("Gather", [x, np.asarray(indices)], {"axis": axis}, fixed=[1])
    agree("Gather", [x[0], random.integers(0, 4, (2, 2))])
    places = random.integers(-size, size, x.shape)
    agree("GatherElements", [x, places], {"axis": axis})


def test_coordinates(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = _floats(random, 3, 4, 5)
    for depth in (1, 2, 3):
        indices = np.stack([random.integers(-n, n, (2, 3)) for n in x.shape[:depth]], -1)
        agree("GatherND", [x, indices])
    batched = random.integers(0, 5, (3, 4, 1))
    agree("GatherND", [x, batched], {"batch_dims": 2})
    for depth in (1, 2, 3):
        count = min(3, int(np.prod(x.shape[:depth])))
        flat = random.choice(int(np.prod(x.shape[:depth])), count, replace=False)
        indices = np.stack(np.unravel_index(flat, x.shape[:depth]), -1)
        updates = _floats(random, count, *x.shape[depth:])
        for reduction in ("none", "add", "mul", "max", "min"):
            agree("ScatterND", [x, indices, updates], {"reduction": reduction})


def test_scattering(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = _floats(random, 4, 5)
    for axis in (0, 1):
        size = x.shape[axis]
        places = np.argsort(random.random(x.shape), axis)[:2, :2]
        updates = _floats(random, 2, 2)
        agree("ScatterElements", [x, places, updates], {"axis": axis})
        for reduction in ("add", "mul", "max", "min"):
            repeated = random.integers(-size, size, (3, 2))
            inputs = [x, repeated, _floats(random, 3, 2)]
            agree("ScatterElements", inputs, {"axis": axis, "reduction": reduction})
        agree("Scatter", [x, places, updates], {"axis": axis}, opset=10)


def test_choosing(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 3, (3, 4)).astype(np.float32)
    agree("NonZero", [x])
    agree("Compress", [x, np.array([True, False, True])], {"axis": 1})
    agree("Compress", [x, np.array([True, False, True, True])])
    for order in (0, 1):
        agree("Unique", [x], {"sorted": order}, outputs=4)
        agree("Unique", [x], {"sorted": order, "axis": 0}, outputs=4)
    indices = random.integers(-5, 5, (2, 3))
    for axis in (0, 1, -1):
        inputs = [indices, np.array([5]), np.array([0.5, 2], np.float32)]
        agree("OneHot", inputs, {"axis": axis}, fixed=[1])
    steps = _floats(random, 5, 3, 2)
    agree("ReverseSequence", [steps, np.array([1, 3, 5])], fixed=[1])
    batch_first = {"batch_axis": 0, "time_axis": 1}
    agree("ReverseSequence", [steps, np.array([1, 3, 2, 1, 3])], batch_first)


def test_products(agree: Agree) -> None:
    random = np.random.default_rng(0)
    for left, right in (((2, 3, 4), (4, 5)), ((4,), (2, 4, 3)), ((3, 4), (4,))):
        agree("MatMul", [_floats(random, *left), _floats(random, *right)])
    for flip_a in (0, 1):
        for flip_b in (0, 1):
            a = _floats(random, *((4, 3) if flip_a else (3, 4)))
            b = _floats(random, *((5, 4) if flip_b else (4, 5)))
            for c in (_floats(random, 5), _floats(random, 3, 1), np.float32(2)):
                attributes = {"transA": flip_a, "transB": flip_b}
                agree("Gemm", [a, b, c], attributes)
                agree("Gemm", [a, b, c], {**attributes, "alpha": 0.5, "beta": 2.0})
            agree("Gemm", [a, b], {**attributes, "alpha": 0.5})
    agree("Einsum", [_floats(random, 2, 3), _floats(random, 3, 4)], {"equation": "ij, jk -> ki"})
    agree("Det", [_floats(random, 2, 3, 3)])


def test_fourier_transforms(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = _floats(random, 2, 8, 1)
    for onesided in (0, 1):
        agree("DFT", [x, None, np.asarray(1)], {"onesided": onesided}, fixed=[2], atol=1e-5)
        agree("DFT", [x], {"onesided": onesided, "axis": 1}, opset=17, atol=1e-5)
    agree("DFT", [_floats(random, 2, 8, 2), None, np.asarray(1)], {"inverse": 1}, fixed=[2])
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        for periodic in (0, 1):
            agree(op, [np.asarray(9)], {"periodic": periodic}, atol=1e-5)
    frames = [_floats(random, 1, 32, 1), np.asarray(4), _floats(random, 16)]
    agree("STFT", frames, {"onesided": 1}, atol=1e-4)
