from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from onnxq.gates.latency import verdict_of
from onnxq.gates.slowdown import (
    ERROR,
    LOOKS,
    Slowdown,
    in_turns,
    measure_slowdown,
    median_interval,
)
from onnxq.gates.verdict import Failed, Passed, Undecided


@pytest.mark.parametrize("count", [5, 8, 12, 13])
@pytest.mark.parametrize("error", [0.2, 0.05, 0.01])
def test_the_interval_misses_the_median_as_rarely_as_promised(count: int, error: float) -> None:
    """Exactly, over all ways in which draws can lie below or above the median."""
    missed = 0
    for below in range(count + 1):
        for _ in combinations(range(count), below):
            draws = [-1.0 - i for i in range(below)] + [1.0 + i for i in range(count - below)]
            low, high = median_interval(draws, error)
            missed += not low <= 0.0 <= high
    assert missed / 2**count <= error


@pytest.mark.parametrize("count", LOOKS)
def test_the_interval_is_no_wider_than_it_must_be(count: int) -> None:
    error = ERROR / len(LOOKS)
    low, high = median_interval(range(count), error)
    # One draw less on each side would miss too often.
    outside = sum(2 * math.comb(count, k) for k in range(int(low) + 2)) / 2**count
    assert high == count - 1 - low
    assert outside > error


def test_too_few_draws_tell_nothing() -> None:
    assert median_interval([1.0] * 7, 0.01) == (-math.inf, math.inf)


def noisy(ratio: float, spread: float, seed: int):
    """Blocks with heavy tails: every tenth is far off."""
    generator = np.random.default_rng(seed)

    def block(number: int) -> float:
        wild = generator.random() < 0.1
        return float(ratio * np.exp(generator.standard_normal() * (1.0 if wild else spread)))

    return block


@pytest.mark.parametrize("ratio", [1.0, 1.1])
def test_false_failures_are_rare_even_at_the_limit(ratio: float) -> None:
    """At the limit itself each call is a coin's: the error probability bounds both directions."""
    runs = [measure_slowdown(noisy(ratio, 0.08, seed), 1.1, seconds=1e9) for seed in range(400)]
    failed = sum(run.exceeds(1.1) is True for run in runs)
    assert failed <= (0 if ratio == 1.0 else 400 * ERROR)


def test_a_real_slowdown_is_called() -> None:
    runs = [measure_slowdown(noisy(1.22, 0.05, seed), 1.1, seconds=1e9) for seed in range(200)]
    assert sum(run.exceeds(1.1) is True for run in runs) >= 190


def test_measuring_ends_with_the_verdict() -> None:
    counted: list[int] = []
    found = measure_slowdown(
        lambda number: 1.0 + number / 1000,
        1.1,
        seconds=1e9,
        progress=lambda done, total: counted.append(done),
    )
    assert found.blocks == LOOKS[0] == counted[-1]
    assert found.ended == "the interval decided it"
    assert (found.low, found.high) == (1.0, 1.007)


def test_measuring_ends_with_the_time() -> None:
    time = iter(range(100))
    found = measure_slowdown(lambda _: 1.0, 1.1, seconds=4.5, clock=lambda: next(time))
    assert found.blocks == 5
    assert (found.low, found.high) == (0.0, math.inf)
    verdict = verdict_of(found, 0.1)
    assert isinstance(verdict, Undecided)
    assert "8 measurements are needed to tell, and no time was left" in verdict.text
    assert "quieter machine" in verdict.remedy


def test_measuring_ends_where_more_does_not_help() -> None:
    ratios = [1.0, 1.2] * 20
    found = measure_slowdown(lambda number: ratios[number], 1.1, seconds=1e9)
    assert found.blocks == LOOKS[-1]
    verdict = verdict_of(found, 0.1)
    assert isinstance(verdict, Undecided)
    assert "the interval holds the limit" in verdict.text


def test_verdicts_say_by_how_much() -> None:
    ended = "the interval decided it"
    slow = verdict_of(Slowdown(1.25, 1.2, 1.3, 8, ended), 0.1)
    assert isinstance(slow, Failed)
    assert slow.text == (
        "25 % slower than the baseline, 95 % interval +20.0 % to +30.0 %; at most 10 % slower "
        "allowed: 15 points too much"
    )
    (figure,) = slow.figures
    assert (figure.unit, figure.limit, figure.repeatable) == ("share", 0.1, False)
    assert figure.value == pytest.approx(0.25) and figure.excess == pytest.approx(0.15)
    fast = verdict_of(Slowdown(0.5, 0.45, 0.55, 8, ended), 0.1)
    assert isinstance(fast, Passed)
    assert fast.text.startswith("takes 50 % less time than the baseline")


def test_blocks_open_both_models_anew_and_in_turns() -> None:
    opened: list[str] = []

    def opener(name: str, steps: int):
        def run() -> None:
            for _ in range(steps):
                pass

        def open_one():
            opened.append(name)
            return run

        return open_one

    block = in_turns(opener("baseline", 20_000), opener("model", 40_000))
    ratios = [block(0), block(1)]
    assert opened == ["baseline", "model", "model", "baseline"]
    # Twice the work; anything near it tells that the ratio is not upside down.
    assert all(1.3 < ratio < 3.0 for ratio in ratios)
