"""From ranges to scales: bounds that codes keep, and tensors that share a scale."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.calibration import activation_parameters
from onnxq.plan import Activation, Plan
from onnxq.quant import QType, Scheme

U8 = Scheme(QType(8, signed=False))


def parameters(activations, ranges):
    plan = Plan("t", "m", 13, activations=activations)
    return activation_parameters(plan, ranges)


def ends(found):
    """The values of the outermost codes, in float32 as an engine computes them."""
    scale, zero = np.float32(found.scale), np.float32(found.zero_point)
    return (0 - zero) * scale, (np.float32(255) - zero) * scale


def test_a_range_is_cut_to_the_bounds_and_holds_zero():
    found = parameters(
        {"a": Activation(U8, low=0.0), "b": Activation(U8), "c": Activation(U8, high=2.0)},
        {"a": (-5.0, 3.0), "b": (1.0, 3.0), "c": (-1.0, 4.0)},
    )
    np.testing.assert_allclose(ends(found["a"]), (0, 3), rtol=1e-6)
    np.testing.assert_allclose(ends(found["b"]), (0, 3), rtol=1e-6)
    assert -1 - 3 / 255 <= ends(found["c"])[0] <= -1 + 3 / 255


def test_no_code_lies_beyond_the_upper_bound():
    generator = np.random.default_rng(0)
    for high in np.concatenate([generator.uniform(0.01, 10, 500), [6.0, 1.0, 0.7, 1e-20, 1e20]]):
        bound = float(np.float32(high))
        found = parameters({"a": Activation(U8, 0.0, bound)}, {"a": (-1.0, 2e20)})["a"]
        assert ends(found)[1] <= np.float32(bound)
        np.testing.assert_allclose(ends(found)[1], bound, rtol=1e-6)


def test_no_code_lies_beyond_two_bounds_around_zero():
    generator = np.random.default_rng(1)
    for low, high in zip(
        -generator.uniform(0.1, 5, 300), generator.uniform(0.1, 5, 300), strict=True
    ):
        found = parameters({"a": Activation(U8, float(low), float(high))}, {"a": (-9.0, 9.0)})["a"]
        below, above = ends(found)
        assert below >= np.float32(low)
        assert above <= np.float32(high)
        # Rounding the zero point costs half a step of 255 at most.
        assert above - below >= 0.99 * (high - low) * (
            1 - 0.5 / (255 * min(-low, high) / (high - low))
        )


def test_a_tie_shares_the_union_even_beyond_the_bounds_of_one():
    found = parameters(
        {
            "a": Activation(U8, 0.0, 6.0, tie="a"),
            "b": Activation(U8, tie="a"),
            "c": Activation(U8, tie=None),
        },
        {"a": (0.0, 6.0), "b": (-2.0, 10.0), "c": (0.0, 1.0)},
    )
    assert found["a"] is found["b"]
    np.testing.assert_allclose(ends(found["a"]), (-2, 10), atol=0.03)
    np.testing.assert_allclose(ends(found["c"]), (0, 1), rtol=1e-6)


def test_a_tie_keeps_the_bounds_that_all_its_tensors_keep():
    generator = np.random.default_rng(2)
    for high in generator.uniform(0.1, 9, 300):
        bound = float(np.float32(high))
        found = parameters(
            {"a": Activation(U8, 0.0, bound, tie="a"), "b": Activation(U8, tie="a")},
            {"a": (0.0, bound), "b": (0.0, bound / 2)},
        )
        assert found["a"].scale == found["b"].scale
        assert ends(found["b"])[1] <= np.float32(bound)


@pytest.mark.parametrize("scheme", [U8, Scheme(QType(8, signed=True), symmetric=True)])
def test_parameters_come_in_the_order_of_the_plan(scheme):
    names = ["z", "a", "m"]
    ranges = dict.fromkeys(names, (-1.0, 1.0))
    assert list(parameters({n: Activation(scheme) for n in names}, ranges)) == names


def test_powers_of_two_stay_so_at_a_bound():
    scheme = Scheme(QType(8, signed=False), power_of_two=True)
    found = parameters({"a": Activation(scheme, 0.0, 6.0)}, {"a": (0.0, 6.0)})["a"]
    assert np.frexp(found.scale)[0] == 0.5
