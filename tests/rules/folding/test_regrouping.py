"""Coefficients through a reshape, against a reshape of the whole tensor."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules.folding.affine import placed
from onnxq.rules.folding.regrouping import regrouped

_CASES = [
    ((2, 6, 4, 4), (2, 6, 16), 1),
    ((2, 6, 4, 4), (2, 3, 2, 4, 4), 1),
    ((2, 6, 4, 4), (2, 96), 1),
    ((2, 6, 1, 4), (2, 6, 4), 1),
    ((2, 3, 8), (6, 8), 2),
    ((2, 3, 8), (2, 3, 2, 4), 2),
    ((1, 4), (2, 2, 1), 1),
    ((1, 4), (1, 1, 2, 2), 1),
    ((4, 1), (1, 4), 0),
    ((2, 3, 4), (4, 6), 1),
    ((6, 4), (2, 3, 4), 0),
]


@pytest.mark.parametrize(("source", "result", "axis"), _CASES)
def test_moves_with_the_elements(source, result, axis):
    values = placed(np.arange(1.0, source[axis] + 1), axis, len(source))
    moved = regrouped(values, source, result)
    expected = np.broadcast_to(values, source).reshape(result)
    assert moved.ndim == len(result)
    np.testing.assert_array_equal(np.broadcast_to(moved, result), expected)


@pytest.mark.parametrize(
    ("source", "result", "axis", "shape"),
    [
        (("n", 6, "h", "w"), ("n", 6, "h·w"), 1, (1, 6, 1)),
        (("n", "t", 6), (None, None, 2, 3), 2, (1, 1, 2, 3)),
        (("n", 6, "w"), ("n", 2, 3, None), 1, (1, 2, 3, 1)),
        (("n", 4), (1, 2, 2), 1, (1, 2, 2)),
        (("16·n", 49, 6), ("n", 16, 49, 6), 2, (1, 1, 1, 6)),
    ],
)
def test_free_dimensions(source, result, axis, shape):
    moved = regrouped(placed(np.arange(float(source[axis])), axis, len(source)), source, result)
    assert moved.shape == shape


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ((None, 6, "h", "w"), (None, 6, None)),
        ((2, 6, 4), None),
        (None, (2, 6, 4)),
        ((2, 6, 0), (0, 6)),
        (("n", 6, "w"), ("m", "v")),
    ],
)
def test_too_little_is_known(source, result):
    rank = 3 if source is None else len(source)
    assert regrouped(placed(np.arange(6.0), 1, rank), source, result) is None
    assert regrouped(np.float64(3), source, result).shape == ()
