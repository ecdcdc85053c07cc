"""Codes learned from the second moment of inputs, against brute force over all roundings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from onnxq.errors import UsageError
from onnxq.quant import (
    Codes,
    Granularity,
    Learning,
    PerBlock,
    PerChannel,
    PerTensor,
    Products,
    QParams,
    QType,
    Scheme,
    choose_qparams,
    learn_codes,
    qparams_of,
)

ONLY_CODES = Learning(refits=0, search_scales=False)
LAYOUTS: list[tuple[Products, tuple[int, ...], Granularity]] = [
    (Products(), (80, 12), PerTensor()),
    (Products(), (80, 12), PerChannel(1)),
    (Products(), (80, 12), PerBlock(0, 32)),
    (Products(sums_first=True), (12, 80), PerChannel(-2)),
    (Products(sums_first=True), (12, 80), PerBlock(1, 16)),
    (Products(sums_first=True), (12, 8, 3, 3), PerChannel(0)),
    (Products(sums_first=True, groups=4), (12, 2, 3, 3), PerChannel(0)),
    (Products(sums_first=True, groups=12), (12, 1, 3, 3), PerTensor()),
]


def layer(
    products: Products, shape: tuple[int, ...], *, samples: int = 300, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A weight, and the second moment of correlated inputs: [group, term, term]."""
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal(shape).astype(np.float32)
    groups, terms, _ = products.matrices(weight).shape
    mixed = generator.standard_normal((groups, terms, terms))
    inputs = generator.standard_normal((groups, samples, terms)) @ mixed
    return weight, inputs.swapaxes(1, 2) @ inputs


def output_error(
    weight: np.ndarray, codes: Codes, products: Products, moment: np.ndarray
) -> np.ndarray:
    """Squared output error of every sum, in float64."""
    error = products.matrices(codes.floats().astype(np.float64) - weight)
    return np.einsum("gts,gtu,gus->gs", error, moment, error)


@pytest.mark.parametrize(("products", "shape", "granularity"), LAYOUTS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_error_is_what_is_claimed_and_less_than_of_nearest(
    products: Products, shape: tuple[int, ...], granularity: Granularity, symmetric: bool, bits: int
) -> None:
    weight, moment = layer(products, shape)
    scheme = Scheme(QType(bits, symmetric), granularity, symmetric)
    given = qparams_of(scheme, weight)
    for learning in (Learning(), ONLY_CODES):
        learned = learn_codes(weight, given, products, moment, learning)
        nearest = output_error(weight, Codes.nearest(weight, given), products, moment)
        found = output_error(weight, learned.codes, products, moment)
        np.testing.assert_allclose(learned.nearest, nearest.sum(), rtol=1e-3)
        np.testing.assert_allclose(learned.error, found.sum(), rtol=1e-3)
        # Of every sum, not only of all: each is compared by itself. Float32 sums decide.
        assert np.all(found <= nearest * (1 + 1e-3))
        assert learned.error < 0.6 * learned.nearest
        codes = learned.codes.values.astype(np.int32)
        assert codes.min() >= scheme.minimum
        assert codes.max() <= scheme.maximum


def test_lies_between_nearest_and_the_best_of_all_roundings() -> None:
    products, terms, sums = Products(), 6, 5
    scheme = Scheme(QType(2, signed=True), PerChannel(1), symmetric=True)
    ratios = []
    for seed in range(20):
        weight, moment = layer(products, (terms, sums), seed=seed)
        given = qparams_of(scheme, weight)
        every = np.array(list(product(range(-2, 2), repeat=terms)), np.float64)
        values = every[:, :, np.newaxis] * given.scale
        errors = values - weight
        best = np.einsum("nts,tu,nus->ns", errors, moment[0], errors).min(axis=0).sum()
        learned = learn_codes(weight, given, products, moment, ONLY_CODES)
        assert best * (1 - 1e-4) <= learned.error <= learned.nearest
        ratios.append((learned.error - best) / (learned.nearest - best))
    assert np.mean(ratios) < 0.4


@pytest.mark.parametrize("samples", [0, 1, 3, 40])
def test_few_samples_do_no_harm(samples: int) -> None:
    products = Products()
    weight, moment = layer(products, (80, 12), samples=samples)
    scheme = Scheme(QType(4, signed=False), PerBlock(0, 16))
    given = qparams_of(scheme, weight)
    learned = learn_codes(weight, given, products, moment)
    nearest = Codes.nearest(weight, given)
    assert learned.error <= learned.nearest
    if samples == 0:
        np.testing.assert_array_equal(learned.codes.values, nearest.values)
    # On inputs of directions that no sample had: worse, but bounded by the damping.
    everywhere = np.eye(80)[np.newaxis]
    after = output_error(weight, learned.codes, products, everywhere).sum()
    assert after < 5 * output_error(weight, nearest, products, everywhere).sum()


def test_an_input_that_is_always_zero_is_rounded_to_nearest() -> None:
    weight, moment = layer(Products(), (40, 6))
    moment[:, 7, :] = moment[:, :, 7] = 0.0
    given = qparams_of(Scheme(QType(4, True), PerChannel(1), True), weight)
    learned = learn_codes(weight, given, Products(), moment, ONLY_CODES)
    np.testing.assert_array_equal(learned.codes.values[7], Codes.nearest(weight, given).values[7])


def test_independent_inputs_leave_nothing_to_gain() -> None:
    weight, _ = layer(Products(), (40, 6))
    given = qparams_of(Scheme(QType(8, True), PerChannel(1), True), weight)
    learned = learn_codes(weight, given, Products(), np.eye(40)[np.newaxis], ONLY_CODES)
    np.testing.assert_array_equal(learned.codes.values, Codes.nearest(weight, given).values)


def test_scales_that_are_given_are_kept_unless_asked() -> None:
    weight, moment = layer(Products(), (40, 6))
    given = qparams_of(Scheme(QType(4, True), PerChannel(1), True), weight)
    assert learn_codes(weight, given, Products(), moment, ONLY_CODES).codes.parameters == given
    power = qparams_of(Scheme(QType(4, True), PerChannel(1), True, power_of_two=True), weight)
    scale = learn_codes(weight, power, Products(), moment).codes.parameters.scale
    np.testing.assert_array_equal(np.frexp(scale)[0], 0.5)


@pytest.mark.parametrize(
    ("products", "shape", "granularity"),
    [
        (Products(), (8, 4), PerChannel(0)),
        (Products(), (8, 4), PerBlock(1, 2)),
        (Products(sums_first=True), (4, 8), PerChannel(1)),
        (Products(sums_first=True), (4, 8, 3, 3), PerBlock(1, 4)),
    ],
)
def test_scales_that_do_not_follow_the_sums_are_refused(
    products: Products, shape: tuple[int, ...], granularity: Granularity
) -> None:
    weight = np.ones(shape, np.float32)
    ones = np.ones(granularity.parameter_shape(shape))
    scheme = Scheme(QType(8, True), granularity, True)
    given: QParams = choose_qparams(scheme, -ones, ones)
    with pytest.raises(UsageError, match="do not follow its sums"):
        learn_codes(weight, given, products, np.eye(8)[None])
