"""SparseGPT against its definition: every pruned term by itself, with an inverse made anew."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.pruning.nm.reconstruct import damped, reconstruct, refit
from onnxq.quant import Pattern


def _problem(terms, sums, seed=0):
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((1, terms, sums)).astype(np.float32)
    inputs = generator.standard_normal((1, 400, terms)) @ generator.standard_normal((terms, terms))
    return weights, (inputs.swapaxes(1, 2) @ inputs / 400).astype(np.float32)


def _by_definition(weights, moment, pattern):
    """Optimal brain surgeon, term by term; H⁻¹ is that of the terms that are left."""
    terms, sums = weights.shape
    result = weights.astype(np.float64)
    mask = np.ones((terms, sums), bool)
    for i in range(terms):
        if i % pattern.block == 0:
            places = range(i, i + pattern.block)
            diagonal = [np.linalg.inv(moment[p:, p:])[0, 0] for p in places]
            cost = result[places] ** 2 / np.array(diagonal)[:, np.newaxis]
            for column in range(sums):
                gone = np.argsort(cost[:, column], kind="stable")[: pattern.block - pattern.kept]
                mask[i + gone, column] = False
        inverse = np.linalg.inv(moment[i:, i:])
        error = np.where(mask[i], 0.0, result[i]) / inverse[0, 0]
        result[i:] -= inverse[:, :1] * error
        result[i][~mask[i]] = 0.0
    return result, mask


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 2), Pattern(4, 8)], ids=str)
@pytest.mark.parametrize("terms", [16, 96])
def test_as_defined(pattern, terms):
    weights, moment = _problem(terms, 7)
    exact = damped(moment, 0.01)
    found, mask = reconstruct(weights, moment, pattern, 0.01)
    expected, expected_mask = _by_definition(weights[0], exact[0].astype(np.float64), pattern)
    assert np.array_equal(mask[0], expected_mask)
    # float32 over as many updates as there are terms.
    np.testing.assert_allclose(np.where(mask, found, 0)[0], expected, rtol=2e-3, atol=2e-3)


def test_refit_reaches_least_squares():
    weights, moment = _problem(16, 5)
    moment = damped(moment, 0.1)
    start, mask = reconstruct(weights, moment, Pattern(2, 4), 0.01)
    found = refit(np.where(mask, start, 0), weights, mask, moment, 2000)
    assert not found[~mask].any()
    for column in range(5):
        kept = mask[0, :, column]
        exact = moment[0].astype(np.float64)
        best = np.linalg.solve(exact[np.ix_(kept, kept)], (exact @ weights[0, :, column])[kept])
        np.testing.assert_allclose(found[0, kept, column], best, rtol=1e-3, atol=1e-3)


def test_refit_never_loses():
    weights, moment = _problem(80, 9, seed=4)
    moment = damped(moment, 0.01)
    start, mask = reconstruct(weights, moment, Pattern(2, 4), 0.01)
    start = np.where(mask, start, 0)
    errors = []
    for sweeps in (0, 1, 2, 8):
        gone = (weights - refit(start, weights, mask, moment, sweeps)).astype(np.float64)
        errors.append(np.sum((moment @ gone) * gone))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]
