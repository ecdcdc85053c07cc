"""Tensors that others see stay, whatever rule would like to have them away; other types go."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import (
    FuseSubsampling,
    MeanBeforeLinear,
    MergeConvolutions,
    MergeLinears,
    PointwiseBeforeResize,
    PoolBeforePointwise,
    StackSiblings,
    SumParallelConvolutions,
    SumParallelLinears,
    UnflattenLinears,
)

_IMAGE, _ROWS = "float[1,4,6,6]", "float[3,4]"
_SAME = "pads = [1,1,1,1]"
_CASES = {
    "sum": (SumParallelConvolutions(), _IMAGE, f"p = Conv<{_SAME}>(x, w) y = Add(p, x)"),
    "merge": (MergeConvolutions(), _IMAGE, "p = Conv(x, u) y = Conv(p, v)"),
    "stack": (
        StackSiblings(), _IMAGE,
        "p = Conv(x, u) q = Conv(x, v) y = Concat<axis = 1>(p, q)",
    ),
    "pool": (PoolBeforePointwise(), _IMAGE, "p = Conv(x, u) y = GlobalAveragePool(p)"),
    "resize": (PointwiseBeforeResize(), _IMAGE, "p = Resize(x, , twice) y = Conv(p, u)"),
    "stride": (
        FuseSubsampling(), _IMAGE,
        "p = Conv(x, u) y = MaxPool<kernel_shape = [1,1], strides = [2,2]>(p)",
    ),
    "merge linears": (MergeLinears(), _ROWS, "p = MatMul(x, m) y = MatMul(p, n)"),
    "sum linears": (
        SumParallelLinears(), _ROWS, "p = MatMul(x, m) q = MatMul(x, n) y = Add(p, q)",
    ),
    "mean": (MeanBeforeLinear(), _ROWS, "p = MatMul(x, m) y = ReduceMean(p, first)"),
    "unflatten": (
        UnflattenLinears(), "float[1,3,4]",
        "f = Reshape(x, flat) p = Gemm(f, m) y = Reshape(p, back)",
    ),
}  # fmt: skip
_CONSTANTS = {
    "w": (4, 4, 3, 3), "u": (4, 4, 1, 1), "v": (4, 4, 1, 1), "m": (4, 4), "n": (4, 4),
    "twice": np.float32([1, 1, 2, 2]), "first": np.int64([0]), "flat": np.int64([3, 4]),
    "back": np.int64([1, 3, 4]), "yes": np.bool_(True),
}  # fmt: skip
_BODY = " z = If(yes) <then_branch = a () => (float t) { t = Relu(p) }, "
_BODY += "else_branch = b () => (float s) { s = Neg(p) }>"


@pytest.mark.parametrize("case", _CASES)
def test_without_others_it_goes(network, applying, case):
    rule, given, body = _CASES[case]
    outcome = applying(network(f"({given} x) => (float y)", body, **_of(body)), rule, runs=False)
    assert len(outcome.applied) == 1


@pytest.mark.parametrize("case", _CASES)
def test_a_body_reads_what_lies_between(network, applying, case):
    rule, given, body = _CASES[case]
    whole = body + _BODY
    proto = network(f"({given} x) => (float y, float z)", whole, **_of(whole))
    assert not applying(proto, rule, runs=False).applied


@pytest.mark.parametrize("case", _CASES)
def test_the_model_returns_what_lies_between(network, applying, case):
    rule, given, body = _CASES[case]
    proto = network(f"({given} x) => (float y, float p)", body, **_of(body))
    assert not applying(proto, rule, runs=False).applied


@pytest.mark.parametrize("case", _CASES)
def test_ranks_nobody_knows(network, applying, case):
    """Nothing is raised; what is applied anyway is right."""
    rule, given, body = _CASES[case]
    sizes = [int(d) for d in given[given.index("[") + 1 : -1].split(",")]
    whole = "x = Reshape(z, target) " + body
    signature = f"({given} z, int64[K] target) => (float{_free(given)} y)"
    random = np.random.default_rng(0).standard_normal(sizes)
    feed = {"z": random.astype(np.float32), "target": np.int64(sizes)}
    applying(network(signature, whole, **_of(body)), rule, feed=feed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["sum linears", "merge linears"])
def test_double_precision(network, applying, case):
    rule, given, body = _CASES[case]
    random = np.random.default_rng(0)
    held = {k: random.standard_normal(v) for k, v in _of(body).items()}
    signature = f"({given.replace('float', 'double')} x) => (double{_free(given)} y)"
    feed = {"x": random.standard_normal([int(d) for d in given[6:-1].split(",")])}
    proto = network(signature, body, **held)
    outcome = applying(proto, rule, feed=feed, rtol=1e-12, atol=1e-12)
    assert len(outcome.applied) == 1


def _free(given):
    """As many free dimensions as a declaration has."""
    return f"[{','.join('ABCD'[: given.count(',') + 1])}]"


def _of(body):
    around = [(start, end) for start in " (" for end in ",)"]
    return {k: v for k, v in _CONSTANTS.items() if any(f"{s}{k}{e}" in body for s, e in around)}
