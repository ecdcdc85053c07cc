"""Weights chosen by each method, against sums written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from onnxq.graph import Node, Variable
from onnxq.pruning.nm import Layout, Magnitude, SparseGPT, Wanda, sparsify_weight
from onnxq.quant import Pattern

LAYERS = [
    ("Conv", {}, (6, 8, 3, 2)),
    ("Conv", {"group": 2}, (6, 8, 3, 1)),
    ("ConvTranspose", {}, (8, 6, 2, 2)),
    ("ConvTranspose", {"group": 2}, (16, 3, 2, 2)),
    ("MatMul", {}, (16, 6)),
    ("Gemm", {}, (16, 6)),
    ("Gemm", {"transB": 1}, (6, 16)),
]
METHODS = [Magnitude(), Wanda(), SparseGPT()]


def _layer(op, attrs, shape, seed=0):
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal(shape).astype(np.float32)
    layout = Layout.of(Node(op, "n", [Variable("x")], [Variable("y")], attrs), shape)
    groups, terms, _ = layout.matrices(weight).shape
    mixed = generator.standard_normal((groups, terms, terms))
    inputs = generator.standard_normal((groups, 200, terms)) @ mixed
    return weight, layout, (inputs.swapaxes(1, 2) @ inputs).astype(np.float32)


def _channel_axis(op, attrs):
    """The axis of input channels, as ONNX defines the operators."""
    return 1 if op == "Conv" or attrs.get("transB") else 0


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 2), Pattern(4, 8)], ids=str)
@pytest.mark.parametrize(("op", "attrs", "shape"), LAYERS)
def test_the_pattern_lies_along_the_input_channels(op, attrs, shape, pattern, method):
    weight, layout, moment = _layer(op, attrs, shape)
    sparse = sparsify_weight(weight, layout, pattern, method, moment).weight
    assert sparse.shape == weight.shape
    assert sparse.dtype == weight.dtype
    channels = np.moveaxis(sparse, _channel_axis(op, attrs), 0)
    assert channels.shape[0] % pattern.block == 0
    for first in range(0, len(channels), pattern.block):
        block = channels[first : first + pattern.block]
        assert (np.count_nonzero(block, axis=0) == pattern.kept).all()


@pytest.mark.parametrize(("op", "attrs", "shape"), LAYERS)
def test_magnitude_keeps_the_largest_as_they_are(op, attrs, shape):
    weight, layout, _ = _layer(op, attrs, shape)
    sparse = sparsify_weight(weight, layout, Pattern(2, 4), Magnitude()).weight
    rows = np.moveaxis(weight, _channel_axis(op, attrs), 0)
    found = np.moveaxis(sparse, _channel_axis(op, attrs), 0)
    for first, rest in product(range(0, len(rows), 4), np.ndindex(rows.shape[1:])):
        block = rows[(slice(first, first + 4), *rest)]
        kept = np.argsort(-np.abs(block))[:2]
        expected = np.zeros(4, np.float32)
        expected[kept] = block[kept]
        assert np.array_equal(found[(slice(first, first + 4), *rest)], expected)


def test_wanda_weighs_by_the_norm_of_the_input():
    weight, layout, moment = _layer("Gemm", {"transB": 1}, (6, 16))
    sparse = sparsify_weight(weight, layout, Pattern(2, 4), Wanda(), moment).weight
    scores = np.abs(weight) * np.sqrt(np.diag(moment[0]))
    for row, first in product(range(6), range(0, 16, 4)):
        kept = np.sort(np.argsort(-scores[row, first : first + 4])[:2])
        assert np.array_equal(np.flatnonzero(sparse[row, first : first + 4]), kept)


@pytest.mark.parametrize(("op", "attrs", "shape"), LAYERS)
def test_sparsegpt_loses_least(op, attrs, shape):
    weight, layout, moment = _layer(op, attrs, shape)
    pattern = Pattern(2, 4)
    errors = {}
    for method in METHODS:
        found = sparsify_weight(weight, layout, pattern, method, moment)
        gone = layout.matrices((weight - found.weight).astype(np.float64))
        dense = layout.matrices(weight.astype(np.float64))
        exact = moment.astype(np.float64)
        error = np.sum((exact @ gone) * gone) / np.sum((exact @ dense) * dense)
        assert found.error == pytest.approx(error, rel=1e-3)
        errors[type(method)] = found.error
    assert errors[SparseGPT] < 0.75 * min(errors[Wanda], errors[Magnitude])


def test_more_sweeps_fit_better():
    weight, layout, moment = _layer("MatMul", {}, (64, 20))
    plain, fitted = (
        sparsify_weight(weight, layout, Pattern(2, 4), SparseGPT(0.01, sweeps), moment).error
        for sweeps in (0, 8)
    )
    assert fitted < plain


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_types_keep_their_values(kind):
    weight, layout, moment = _layer("MatMul", {}, (16, 6))
    weight = (weight * (1 + 2.0**-40)).astype(kind)
    sparse = sparsify_weight(weight, layout, Pattern(2, 4), Wanda(), moment).weight
    assert sparse.dtype == kind
    assert np.array_equal(sparse[sparse != 0], weight[sparse != 0])


def test_inputs_that_are_always_zero_leave_magnitude():
    weight, layout, moment = _layer("MatMul", {}, (16, 6))
    blind = sparsify_weight(weight, layout, Pattern(2, 4), SparseGPT(), np.zeros_like(moment))
    plain = sparsify_weight(weight, layout, Pattern(2, 4), Magnitude())
    assert np.array_equal(blind.weight, plain.weight)


def test_fewer_samples_than_terms():
    generator = np.random.default_rng(3)
    weight, layout, _ = _layer("MatMul", {}, (64, 10))
    inputs = generator.standard_normal((1, 5, 64)).astype(np.float32)
    inputs[..., :8] = 0.0
    found = sparsify_weight(
        weight, layout, Pattern(2, 4), SparseGPT(), inputs.swapaxes(1, 2) @ inputs
    )
    assert np.isfinite(found.weight).all()
    assert found.error < 0.05
