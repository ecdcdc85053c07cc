"""Scales that a float16 holds: against all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.quant import (
    PerChannel,
    QParams,
    QType,
    Scheme,
    choose_qparams,
    half_above,
    half_below,
    hqq_qparams,
    mse_qparams,
    nearest_half,
    qparams_of,
)

_NORMAL = np.arange(0x0400, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
"""All normal positive numbers of float16."""
_SQUARES = _NORMAL**2
_FIRST, _LAST = _NORMAL[[0, -1]]
_BELOW, _BEYOND = _SQUARES[_SQUARES < _FIRST], _SQUARES[_SQUARES > _LAST]
_ALLOWED = np.concatenate([_BELOW, _NORMAL, _BEYOND])

scales = st.floats(float(_ALLOWED[0]), float(_ALLOWED[-1]), allow_subnormal=False)


def test_what_is_allowed_stays() -> None:
    np.testing.assert_array_equal(nearest_half(_NORMAL), _NORMAL)
    np.testing.assert_array_equal(nearest_half(_BELOW), _BELOW)
    np.testing.assert_array_equal(_ALLOWED, _ALLOWED.astype(np.float32))


@settings(max_examples=300, deadline=None)
@given(scales)
def test_neighbours_on_either_side(scale: float) -> None:
    place = int(np.searchsorted(_ALLOWED, scale))
    found = float(nearest_half(scale))
    # Roots are rounded, so of squares the nearest need not be it, but a neighbour.
    assert found in _ALLOWED[max(place - 1, 0) : place + 2]
    assert abs(found / scale - 1) <= 2.0**-10
    assert float(half_below(scale)) <= scale <= float(half_above(scale))
    assert float(half_above(scale)) / float(half_below(scale)) <= 1 + 2.0**-8


@settings(max_examples=200, deadline=None)
@given(st.floats(float(_NORMAL[0]), float(_NORMAL[-1]), width=32))
def test_normal_numbers_are_rounded_as_float16_does(scale: float) -> None:
    assert float(nearest_half(scale)) == float(np.float16(scale))
    place = int(np.searchsorted(_NORMAL, scale))
    assert float(half_above(scale)) == _NORMAL[place]
    assert float(half_below(scale)) == _NORMAL[place - (_NORMAL[place] > scale)]


def test_the_ends() -> None:
    assert float(half_below(1e-30)) == float(nearest_half(0.0)) == 2.0**-28
    assert float(half_above(1e30)) == float(half_below(np.inf)) == 65504.0**2


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_zero_points_are_those_of_the_rounded_scale(bits: int) -> None:
    scheme = Scheme(QType(bits, False), PerChannel(0), half_scales=True)
    generator = np.random.default_rng(0)
    low = -(10.0 ** generator.uniform(-4, 3, 200))
    high = 10.0 ** generator.uniform(-4, 3, 200)
    found = choose_qparams(scheme, low, high)
    exact = (high - low) / scheme.maximum
    np.testing.assert_array_equal(found.scale, nearest_half(exact).astype(np.float32))
    wish = np.rint(-low / found.scale.astype(np.float64)).clip(0, scheme.maximum)
    np.testing.assert_array_equal(found.zero_point, wish)
    assert (nearest_half(found.scale) == found.scale).all()


@pytest.mark.parametrize("find", [qparams_of, mse_qparams, None])
def test_every_way_of_finding_scales_keeps_to_them(find: Any) -> None:
    weight = np.random.default_rng(1).normal(size=(16, 32)).astype(np.float32) * 0.01
    scheme = Scheme(QType(4, True), PerChannel(0), symmetric=True, half_scales=True)
    found: QParams = (
        find(scheme, weight) if find else hqq_qparams(weight, qparams_of(scheme, weight))
    )
    assert (nearest_half(found.scale) == found.scale).all()


def test_powers_of_two_are_kept() -> None:
    scheme = Scheme(QType(8, True), symmetric=True, power_of_two=True, half_scales=True)
    scale = float(choose_qparams(scheme, -0.001, 0.001).scale)
    assert np.frexp(scale)[0] == 0.5 and float(np.float16(scale)) == scale


def test_schemes_survive_json() -> None:
    scheme = Scheme(QType(8, True), half_scales=True)
    assert Scheme.from_dict(scheme.to_dict()) == scheme and not scheme.any_scale
