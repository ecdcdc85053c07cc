"""How channels are distributed: counts, costs, and against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxq.coupling import Group, Member, Side
from onnxq.pruning import (
    Curve,
    Filters,
    Fixed,
    Multiples,
    curve_of,
    evenly,
    nearest_kept,
    reachable,
    solve,
    spread,
    work_of,
)

_RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("size", "limits", "kept"),
    [
        (20, Multiples(4, 0.9), (20, 16, 12, 8, 4)),
        (20, Multiples(4, 0.5), (20, 16, 12)),
        (18, Multiples(8, 0.9), (18, 16, 8)),
        (24, Multiples(16, 0.9), (24, 16)),
        (16, Multiples(16, 0.9), (16,)),
        (3, Multiples(1, 0.99), (3, 2, 1)),
        (1, Multiples(1, 0.99), (1,)),
        (9, Fixed(5), (5,)),
    ],
)
def test_counts_that_may_be_kept(size, limits, kept):
    assert limits.kept(size) == kept


def test_the_nearest_count_and_of_two_the_larger():
    assert nearest_kept(20, 15, Multiples(4)) == 16
    assert nearest_kept(20, 14, Multiples(4)) == 16
    assert nearest_kept(24, 17, Multiples(16)) == 16


def test_a_curve_counts_energy_and_starts_with_the_least():
    curve = curve_of(np.array([3.0, 1.0, 2.0]), relative=True)
    assert curve.order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(curve.loss, [0.0, 1 / 14, 5 / 14, 1.0])
    assert curve.removed(2) == [1, 2]
    np.testing.assert_allclose(curve_of(np.zeros(4), relative=True).loss[-1], 1.0)


def _curves(sizes):
    return [curve_of(_RANDOM.uniform(0.1, 2.0, size), relative=True) for size in sizes]


@pytest.mark.parametrize("wanted", [20, 14, 9])
def test_filters_are_spread_as_well_as_trying_everything_would(wanted):
    sizes = (8, 6, 10)
    curves, limits = _curves(sizes), [Multiples(1, 0.99)] * 3
    kept = spread(curves, limits, Filters(sizes), wanted)
    assert sum(kept) == wanted

    def loss(counts):
        return sum(c.loss[c.size - k] for c, k in zip(curves, counts, strict=True))

    options = itertools.product(*(range(1, size + 1) for size in sizes))
    best = min(loss(counts) for counts in options if sum(counts) == wanted)
    np.testing.assert_allclose(loss(kept), best, rtol=1e-9)


def test_a_late_rise_is_seen_beyond_an_early_one():
    # The second group costs much at once, then nothing for long: a step must span it.
    steady = Curve(np.arange(8), np.linspace(0.0, 1.0, 9))
    hump = Curve(np.arange(8), np.array([0.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 1.0]))
    kept = spread([steady, hump], [Multiples(1, 0.99)] * 2, Filters((8, 8)), 9)
    assert kept == [8, 1]


def test_fixed_groups_start_where_they_stay():
    curves = _curves((8, 8))
    kept = spread(curves, [Fixed(3), Multiples(1, 0.99)], Filters((8, 8)), 7)
    assert kept == [3, 4]


def test_evenly_rounds_to_what_may_be_kept():
    assert evenly(_curves((20, 10, 4)), [Multiples(4)] * 3, 0.3) == [16, 8, 4]


def _two_layers():
    """Weight a [6, 3] computes group 0, b [8, 6] reads it and computes group 1, c [5, 8] reads."""
    ramp = [np.arange(6)[:, None], np.arange(8)[:, None]]

    def member(tensor, axis, group, side):
        return Member(tensor, axis, ramp[group], side, (tensor,))

    first = Group("a", 6, (member("a", 0, 0, Side.OUTPUT), member("b", 1, 0, Side.INPUT)))
    second = Group("b", 8, (member("b", 0, 1, Side.OUTPUT), member("c", 1, 1, Side.INPUT)))
    shapes = {"a": (6, 3), "b": (8, 6), "c": (5, 8)}
    return (first, second), shapes


def test_work_is_what_remains_of_the_weights():
    groups, shapes = _two_layers()
    uses = {"a": 100.0 * 18, "b": 10.0 * 48, "c": 40.0}
    work = work_of(groups, shapes, uses, total=5000.0)
    fixed = 5000.0 - sum(uses.values())
    for kept in itertools.product(range(1, 7), range(1, 9)):
        shares = np.array([kept[0] / 6, kept[1] / 8])
        expected = fixed + 100.0 * kept[0] * 3 + 10.0 * kept[0] * kept[1] + 5.0 * kept[1]
        np.testing.assert_allclose(work.cost(shares), expected)
        before = work.cost(np.array([1.0, shares[1]]))
        saved = work.saved(np.array([1.0, shares[1]]), 0, shares[0])
        np.testing.assert_allclose(saved, before - expected)


def test_several_groups_share_an_axis():
    halves = [np.arange(4)[:, None], np.arange(4, 10)[:, None]]
    groups = [
        Group(f"g{i}", len(half), (Member("w", 1, half, Side.INPUT, ("w",)),))
        for i, half in enumerate(halves)
    ]
    work = work_of(groups, {"w": (7, 10)}, {"w": 70.0}, total=70.0)
    np.testing.assert_allclose(work.cost(np.array([0.5, 2 / 6])), 7.0 * (2 + 2))


def test_the_reachable_range():
    low, high = reachable(_curves((20, 10)), [Multiples(4, 0.5), Fixed(9)], Filters((20, 10)))
    assert (low, high) == (21.0, 29.0)


def test_solving_finds_the_setting_of_a_bent_knob():
    tried = []

    def measure(aim):
        tried.append(aim)
        return aim**2 * 0.9 + 0.1

    found = solve(lambda aim: aim, measure, 0.5, tolerance=0.01, trials=8)
    assert abs(found.share - 0.5) <= 0.005
    assert len(tried) <= 8


def test_solving_gives_the_nearest_of_few_trials():
    found = solve(lambda aim: aim, lambda aim: round(aim * 4) / 4, 0.6, tolerance=0.01)
    assert found.share == 0.5
