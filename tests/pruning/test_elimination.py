"""The loss of removed channels against least squares on the data itself."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.pruning import Layer, eliminate

_RANDOM = np.random.default_rng(0)


def _data(terms, count=4000):
    mixing = _RANDOM.standard_normal((terms, terms))
    x = _RANDOM.standard_normal((count, terms)) @ mixing
    return x - x.mean(0)


def _lost(x, weight, gone):
    """Share of the output's power that the best weights on the other terms cannot compute."""
    kept = np.setdiff1d(np.arange(x.shape[1]), gone)
    target = x @ weight
    best = np.linalg.lstsq(x[:, kept], target, rcond=None)[0]
    return np.square(target - x[:, kept] @ best).sum() / np.square(target).sum(), best, kept


@pytest.mark.parametrize("bundles", [3, 12])
def test_loss_is_what_least_squares_leaves(bundles):
    x, weight = _data(12), _RANDOM.standard_normal((12, 5))
    layer = Layer(weight, x.T @ x / len(x), np.arange(12)[:, None])
    curve, _ = eliminate([layer], bundles=bundles)
    step = 12 // bundles
    for count in range(0, 12, step):
        expected = _lost(x, weight, curve.order[:count])[0]
        np.testing.assert_allclose(curve.loss[count], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(curve.loss[-1], 1.0)
    assert (np.diff(curve.loss) >= 0).all()


def test_channels_of_several_terms_go_together():
    x, weight = _data(12), _RANDOM.standard_normal((12, 5))
    terms = _RANDOM.permutation(12).reshape(4, 3)
    layer = Layer(weight, x.T @ x / len(x), terms)
    curve, _ = eliminate([layer])
    expected = _lost(x, weight, terms[curve.order[:2]].reshape(-1))[0]
    np.testing.assert_allclose(curve.loss[2], expected, rtol=1e-6)


def test_what_others_can_stand_in_for_goes_first_however_large():
    x = _data(6)
    x = np.concatenate([x, 100.0 * x[:, :1] + 50.0 * x[:, 1:2]], axis=1)
    weight = np.ones((7, 3))
    covariance = x.T @ x / len(x) + 1e-6 * np.eye(7)
    curve, _ = eliminate([Layer(weight, covariance, np.arange(7)[:, None])])
    assert curve.order[0] in (0, 1, 6)
    assert curve.loss[1] < 1e-6


def test_losses_of_layers_add_up_relative_to_their_outputs():
    x, weight = _data(8), _RANDOM.standard_normal((8, 4))
    layer = Layer(weight, x.T @ x / len(x), np.arange(8)[:, None])
    scaled = Layer(1000.0 * weight, layer.covariance, layer.terms)
    one, _ = eliminate([layer])
    two, _ = eliminate([layer, scaled])
    np.testing.assert_array_equal(one.order, two.order)
    np.testing.assert_allclose(two.loss, 2.0 * one.loss, rtol=1e-6)


def test_snapshot_holds_the_least_squares_weights():
    x, weight = _data(10), _RANDOM.standard_normal((10, 5))
    layer = Layer(weight, x.T @ x / len(x), np.arange(10)[:, None])
    curve, snapshot = eliminate([layer], snapshot_at=0.05)
    assert snapshot is not None
    gone = curve.order[: int(np.argmax(curve.loss >= 0.05))]
    share, best, kept = _lost(x, weight, gone)
    np.testing.assert_allclose(snapshot.loss, share, rtol=1e-6)
    np.testing.assert_allclose(snapshot.weights[0][kept], best, rtol=1e-6, atol=1e-8)
    assert not snapshot.weights[0][gone].any()
