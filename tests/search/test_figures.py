from __future__ import annotations

import math

import numpy as np
import pytest

from onnxq.search.figures import Figures, costs, dominates, front_of
from onnxq.search.scoring import hopeless

_THREE = ("quality", "size", "latency")


def _figures(quality: float, size: int, latency: float | None, proxy: float | None) -> Figures:
    return Figures(quality, -quality, size, 10, 5, latency, None, proxy)


@pytest.mark.parametrize("seed", range(5))
def test_front_against_brute_force(seed):
    generator = np.random.default_rng(seed)
    points = {n: tuple(map(float, generator.integers(0, 6, 3))) for n in range(60)}
    array = np.array(list(points.values()))
    expected = []
    for number, point in enumerate(array):
        no_worse = (array <= point).all(axis=1)
        better = (array < point).any(axis=1)
        twins = (array[:number] == point).all(axis=1)
        if not (no_worse & better).any() and not twins.any():
            expected.append(number)
    assert front_of(points) == expected


def test_dominates_needs_a_gain():
    assert dominates((1.0, 2.0), (1.0, 3.0))
    assert not dominates((1.0, 2.0), (1.0, 2.0))
    assert not dominates((1.0, 4.0), (2.0, 3.0))


def test_costs_are_in_the_order_of_the_objectives():
    figures = _figures(30.0, 100, 0.5, 31.0)
    assert costs(figures, ("latency", "quality", "size", "bit-operations")) == (0.5, -30, 100, 10)


def test_figures_survive_json():
    figures = _figures(30.0, 100, None, 31.0)
    assert Figures.of(figures.facts) == figures


def test_hopeless_if_clearly_worse_everywhere():
    glance = _figures(math.nan, 200, 1.0, 20.0)
    assert hopeless(glance, [_figures(30.0, 200, 0.5, 30.0)], _THREE, None)


@pytest.mark.parametrize(
    ("size", "latency", "proxy"),
    [(201, 0.5, 30.0), (200, 0.95, 30.0), (200, 0.5, 20.5), (200, None, 30.0), (200, 0.5, None)],
)
def test_not_hopeless_if_it_may_win_somewhere(size, latency, proxy):
    glance = _figures(math.nan, 200, 1.0, 20.0)
    assert not hopeless(glance, [_figures(30.0, size, latency, proxy)], _THREE, None)


def test_hopeless_if_far_below_the_budget():
    glance = _figures(math.nan, 1, 0.1, 20.0)
    assert "far below" in hopeless(glance, [], _THREE, 24.0)
    assert not hopeless(glance, [], _THREE, 22.0)
