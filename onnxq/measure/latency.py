"""Which model is faster, measured so that the answer can be trusted.

The models take turns, so that a slow moment of the machine hits all of them, and the order
rotates from round to round. Speed-ups are the median of the ratios within each round, with
a bootstrap confidence interval (Efron, 1979): when the interval holds 1, nothing is proven.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.engine import Feed, open_session, runner
from onnxq.errors import UsageError
from onnxq.graph import Model

Timed: TypeAlias = Callable[[], object]
"""Runs a model once on inputs it already holds."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run of a model.

    Attributes:
        name: The model's name.
        median: Half of the rounds took longer.
        lower_quartile: A quarter of the rounds took less.
        upper_quartile: A quarter of the rounds took longer.
        minimum: The fastest round.
    """

    name: str
    median: float
    lower_quartile: float
    upper_quartile: float
    minimum: float


@dataclass(frozen=True)
class Speedup:
    """How many times faster than the first model a model is; above 1 is faster.

    Attributes:
        name: The model's name.
        value: Median over the rounds of (time of the first) / (time of this).
        low: Lower end of the 95 % confidence interval of that median.
        high: Upper end of it.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Timings of several models that took turns.

    Attributes:
        timings: One per model, in the order given.
        speedups: One per model, relative to the first (which has 1 by definition).
        rounds: Number of rounds that counted.
    """

    timings: tuple[Timing, ...]
    speedups: tuple[Speedup, ...]
    rounds: int


def measure_latency(
    runs: Mapping[str, Timed],
    *,
    rounds: int = 200,
    minimum_rounds: int = 5,
    warmup: int = 3,
    budget_seconds: float = 10.0,
    shortest_ms: float = 1.0,
    seed: int = 0,
) -> Latency:
    """Time models against each other.

    A control is cheap: give the first model a second time under another name, and see how
    far from 1 its speed-up is.

    Args:
        runs: The models by name, the one to compare with first. Their sessions should use
            the same number of threads and not spin while idle.
        rounds: At most so many rounds.
        minimum_rounds: At least so many rounds, even beyond the budget.
        warmup: Runs of each model that do not count; at least one, and fewer if they take
            more than their share of the budget.
        budget_seconds: Start no new round after so many seconds of measuring.
        shortest_ms: A model faster than this is repeated within its turn until the turn
            lasts about so long, since the clock and the call cost too.
        seed: Of the bootstrap.

    Raises:
        UsageError: if there is no model, or a number of rounds is below 1.
    """
    if not runs or min(rounds, minimum_rounds) < 1:
        raise UsageError("nothing to time", remedy="give at least one model and one round")
    share = budget_seconds / len(runs) / 2
    repeats = [_warm_up(run, warmup, share, shortest_ms) for run in runs.values()]
    turns = list(zip(runs.values(), repeats, strict=True))
    times = _take_turns(turns, rounds, minimum_rounds, budget_seconds)
    timings = tuple(_timing(name, column) for name, column in zip(runs, times.T, strict=True))
    speedups = tuple(
        _speedup(name, times[:, 0] / column, seed)
        for name, column in zip(runs, times.T, strict=True)
    )
    return Latency(timings, speedups, len(times))


def timed_run(
    source: onnx.ModelProto | Model | str | os.PathLike[str], feed: Feed, *, threads: int = 1
) -> Timed:
    """Open a session fit for timing and bind it to one feed.

    Args:
        source: The model or its path.
        feed: The inputs of every run.
        threads: Threads within an operator. Idle ones never spin, for they would slow the
            other models down.

    Raises:
        ModelError: if the engine refuses the model or the inputs.
    """
    session = open_session(source, threads=threads, spinning=False)
    runner(session)(feed)
    names = {value.name for value in session.get_inputs()}
    given = {name: value for name, value in feed.items() if name in names}
    return lambda: session.run(None, given)


def _warm_up(run: Timed, count: int, budget_seconds: float, shortest_ms: float) -> int:
    """Run until warm; return how often to repeat the run within one turn."""
    start = time.perf_counter()
    fastest = _milliseconds(run, 1)
    for _ in range(count - 1):
        if time.perf_counter() - start > budget_seconds:
            break
        fastest = min(fastest, _milliseconds(run, 1))
    return max(1, int(np.ceil(shortest_ms / max(fastest, _CLOCK_MS))))


def _take_turns(
    turns: list[tuple[Timed, int]], rounds: int, minimum_rounds: int, budget_seconds: float
) -> NDArray[np.float64]:
    """Milliseconds per run, shape [rounds, models]."""
    start = time.perf_counter()
    table: list[list[float]] = []
    while len(table) < max(rounds, minimum_rounds):
        if len(table) >= minimum_rounds and time.perf_counter() - start > budget_seconds:
            break
        row = [0.0] * len(turns)
        for place in range(len(turns)):
            index = (place + len(table)) % len(turns)
            row[index] = _milliseconds(*turns[index])
        table.append(row)
    return np.array(table)


def _milliseconds(run: Timed, repeats: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(repeats):
        run()
    # A clock that did not tick is no zero: ratios must stay finite.
    return max((time.perf_counter_ns() - start) / 1e6 / repeats, _CLOCK_MS)


_CLOCK_MS = 1e-6
_BOOTSTRAPS = 1000


def _timing(name: str, milliseconds: NDArray[np.float64]) -> Timing:
    low, middle, high = np.percentile(milliseconds, [25, 50, 75])
    fastest = float(milliseconds.min())
    return Timing(name, float(middle), float(low), float(high), fastest)


def _speedup(name: str, ratios: NDArray[np.float64], seed: int) -> Speedup:
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, ratios.size, (_BOOTSTRAPS, ratios.size))
    medians = np.median(ratios[draws], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Speedup(name, float(np.median(ratios)), float(low), float(high))
