"""Elementwise, logical and reducing operators on random values, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Agree = Callable[..., None]
_SEEDS = range(3)

_ANYWHERE = [
    "Abs",
    "Neg",
    "Ceil",
    "Floor",
    "Round",
    "Sign",
    "Exp",
    "Sin",
    "Cos",
    "Tan",
    "Atan",
    "Sinh",
    "Cosh",
    "Tanh",
    "Asinh",
    "Erf",
    "Relu",
    "Sigmoid",
    "Softsign",
    "Softplus",
    "Mish",
    "LeakyRelu",
    "Elu",
    "Celu",
    "Selu",
    "HardSigmoid",
    "HardSwish",
    "ThresholdedRelu",
    "Gelu",
    "IsNaN",
    "IsInf",
    "Identity",
]
_POSITIVE = ["Sqrt", "Log", "Reciprocal", "Acosh"]
_WITHIN_ONE = ["Asin", "Acos", "Atanh"]

_FREE: dict[str, dict[str, tuple[float, float]]] = {
    "LeakyRelu": {"alpha": (-0.5, 0.5)},
    "Elu": {"alpha": (0.1, 2.0)},
    "Celu": {"alpha": (0.2, 2.0)},
    "Selu": {"alpha": (0.5, 2.0), "gamma": (0.5, 2.0)},
    "HardSigmoid": {"alpha": (0.05, 0.5), "beta": (0.1, 0.9)},
    "ThresholdedRelu": {"alpha": (0.1, 1.5)},
}


def _attributes(op: str, random: np.random.Generator) -> dict[str, float]:
    return {name: float(random.uniform(*span)) for name, span in _FREE.get(op, {}).items()}


def _shapes(random: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast."""
    full = tuple(int(n) for n in random.integers(1, 5, 3))
    cut = int(random.integers(0, 3))
    other = tuple(n if random.random() < 0.6 else 1 for n in full[cut:])
    return (full, other) if random.random() < 0.5 else (other, full)


@pytest.mark.parametrize("op", [*_ANYWHERE, *_POSITIVE, *_WITHIN_ONE])
def test_one_operand(op: str, agree: Agree) -> None:
    for seed in _SEEDS:
        random = np.random.default_rng(seed)
        x = random.standard_normal(_shapes(random)[0]) * 2
        if op in _POSITIVE:
            x = np.abs(x) + 1.01
        elif op in _WITHIN_ONE:
            x = np.tanh(x) * 0.9
        agree(op, [x.astype(np.float32)], _attributes(op, random))


@pytest.mark.parametrize(
    "op", ["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "PRelu"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_two_operands(op: str, dtype: Any, agree: Agree) -> None:
    if dtype == np.int64 and op in ("Sum", "Mean", "PRelu"):
        pytest.skip("the engine takes floats only")
    for seed in _SEEDS:
        random = np.random.default_rng(seed)
        first, second = _shapes(random)
        if op == "PRelu":
            first, second = (2, 3, 4), (3, 1)
        a = random.uniform(-6, 6, first).astype(dtype)
        b = random.uniform(1, 4, second).astype(dtype)
        if op == "Pow":
            a = np.abs(a) + np.asarray(1, dtype)
        attributes = {"fmod": 1} if op == "Mod" and dtype == np.float32 else {}
        agree(op, [a, b], attributes)
        if op not in ("Sum", "Mean", "PRelu"):
            agree(op, [a, b.reshape(-1)[0]], attributes, fixed=[1])


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_signs_of_integers(op: str, agree: Agree) -> None:
    values = np.array([-7, -6, -1, 0, 1, 6, 7], np.int32)
    for divisor in (-3, 3):
        agree(op, [values, np.asarray(divisor, np.int32)])


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op: str, agree: Agree) -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 3, (2, 4, 5)).astype(np.float32)
    agree(op, [first, second])


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_truth(op: str, agree: Agree) -> None:
    values = np.array([[False, False, True, True], [False, True, False, True]])
    agree(op, list(values))


def test_choices_and_casts(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((3, 4)).astype(np.float32) * 3
    agree("Not", [x > 0])
    agree("Where", [x > 0, x, x[:1] * 2])
    for target in (6, 7, 9, 11, 2, 3):
        agree("Cast", [np.abs(x)], {"to": target})
    agree("Clip", [x, np.float32(-1), np.float32(2)])
    agree("Clip", [x, np.float32(-1), np.float32(2)], fixed=[1, 2])
    agree("Clip", [x, None, np.float32(1)], fixed=[2])
    agree("Clip", [x], {"min": -1.0, "max": 0.5}, opset=6 + 1)
    agree("Shrink", [x], {"bias": 0.3, "lambd": 0.7})
    agree(
        "BitShift", [np.arange(6, dtype=np.uint8), np.full(6, 2, np.uint8)], {"direction": "LEFT"}
    )


_REDUCTIONS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
]


@pytest.mark.parametrize("op", _REDUCTIONS)
@pytest.mark.parametrize("opset", [11, 21])
def test_reductions(op: str, opset: int, agree: Agree) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        x = random.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
        axes = [int(a) for a in random.choice(3, random.integers(1, 4), replace=False)]
        axes = [a - 3 if random.random() < 0.5 else a for a in axes]
        attributes: dict[str, Any] = {"keepdims": int(random.integers(0, 2))}
        if opset == 11:
            agree(op, [x], {**attributes, "axes": axes}, opset=opset)
        else:
            agree(op, [x, np.array(axes)], attributes, opset=opset, fixed=[1])
    agree(op, [x], opset=opset)


def test_places_of_extremes_and_running_sums(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 4, (3, 5)).astype(np.float32)
    for op in ("ArgMax", "ArgMin"):
        for axis in (0, 1, -1):
            for last in (0, 1):
                agree(op, [x], {"axis": axis, "select_last_index": last, "keepdims": last})
    for axis in (0, 1):
        for exclusive in (0, 1):
            for reverse in (0, 1):
                attributes = {"exclusive": exclusive, "reverse": reverse}
                agree("CumSum", [x, np.asarray(axis)], attributes, fixed=[1])
    for largest in (0, 1):
        agree("TopK", [x, np.array([2])], {"largest": largest}, outputs=2, fixed=[1])
    agree("TopK", [x], {"k": 3, "axis": 0}, outputs=2, opset=9)


@pytest.mark.parametrize("opset", [9, 11, 13])
def test_nothing_is_dropped(opset: int, agree: Agree) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    agree("Dropout", [x], {"ratio": 0.5} if opset < 12 else {}, opset=opset, outputs=2)
