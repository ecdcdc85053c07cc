"""The algebra of affine maps, against numpy on whole tensors."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules.folding.affine import Affine, narrow, of_rank, onto, placed, varying, vector


def _map(seed: int) -> Affine:
    random = np.random.default_rng(seed)
    shapes = [(), (1, 3, 1), (2, 1, 1), (2, 3, 4)]
    factor, addend = (random.uniform(0.5, 2, shapes[random.integers(4)]) for _ in range(2))
    return Affine.of(factor, addend)


@pytest.mark.parametrize("seed", range(8))
def test_maps_one_after_the_other(seed):
    inner, outer = _map(seed), _map(seed + 50)
    x = np.random.default_rng(1).standard_normal((2, 3, 4))
    whole = outer.after(inner)
    expected = outer.factor * (inner.factor * x + inner.addend) + outer.addend
    np.testing.assert_allclose(whole.factor * x + whole.addend, expected)
    inverse = whole.inverse()
    np.testing.assert_allclose(inverse.factor * expected + inverse.addend, x)


@pytest.mark.parametrize("factor", [0.0, [1.0, 0.0], [1.0, 1e-4]])
def test_no_inverse(factor):
    assert Affine.of(np.array(factor)).inverse() is None


def test_narrowest_form():
    assert narrow(np.full((2, 3), 7.0)).shape == ()
    assert narrow(np.array([[1.0, 2.0], [1.0, 2.0]])).shape == (1, 2)
    assert narrow(np.ones((1, 1, 1))).shape == ()
    assert Affine.of(np.ones(4), np.zeros((1, 3))).is_identity


def test_axes():
    affine = Affine.of(np.arange(3.0).reshape(1, 3, 1), np.arange(2.0).reshape(2, 1, 1))
    assert affine.axes == {0, 1}
    assert varying(affine.factor) == {1}
    assert not affine.is_uniform
    assert not affine.is_positive


def test_vector_along_an_axis():
    channels = placed(np.arange(3.0), 1, 4)
    assert channels.shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(vector(channels, 1, 3), [0, 1, 2])
    np.testing.assert_array_equal(vector(np.float64(5), 1, 3), [5, 5, 5])
    assert vector(channels, 2, 3) is None
    assert vector(channels, 1, 4) is None


def test_onto_an_operand():
    channels = placed(np.arange(3.0), 1, 3)
    assert onto(channels, (2, 3, 4)).shape == (1, 3, 1)
    assert onto(channels, (3, 1)).shape == (3, 1)
    assert onto(channels, ("n", 3, 1)).shape == (1, 3, 1)
    for shape in [None, (2, 1, 4), (4,), (2, "c", 4), (1, 2, 3, 4)]:
        assert onto(channels, shape) is None
    assert onto(np.float64(2), None).shape == ()


def test_of_a_higher_rank():
    assert of_rank(np.arange(3.0), 3).shape == (1, 1, 3)
    assert of_rank(np.arange(3.0), None) is None
    assert of_rank(placed(np.arange(3.0), 0, 2), 1) is None
    assert of_rank(np.float64(2), None).shape == ()
