"""Never slower: simplified models race against the original, and rules that cost speed go.

What looks slower races again, longer and in fresh sessions, since where a session happens to lie
in memory changes its speed too. If it is slower still, the model is built without each rule that
applied, one at a time, and those variants race against the one with all rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from onnxq.engine import Feed
from onnxq.graph import Model
from onnxq.measure import Latency, Speedup, measure_latency, timed_run

SEARCH_SECONDS = 30.0
"""No further rule is tried after so long."""

_NOISE = 0.98
"""Ratios nearer to 1 differ as much between two sessions of the same model."""

_WORTH = 1.01
"""What leaving out a rule must bring."""

_AT_ONCE = 4
"""Variants that race together; each holds its weights once more."""


@dataclass(frozen=True)
class Effort:
    """How long a race takes: whichever ends first."""

    rounds: int
    seconds: float


LOOK = Effort(200, 3.0)
CONFIRM = Effort(600, 8.0)

Timer: TypeAlias = Callable[[Mapping[str, Model], Effort], Latency]
"""Times models against each other; the first is the one to beat."""


@dataclass(frozen=True)
class Stopwatch:
    """Times models on one input.

    Attributes:
        feed: The input.
        threads: Threads within an operator; 0: the engine's choice.
    """

    feed: Feed
    threads: int

    def __call__(self, models: Mapping[str, Model], effort: Effort) -> Latency:
        """Time models in turns, in new sessions.

        Raises:
            ModelError: if one does not run.
        """
        runs = {n: timed_run(m, self.feed, threads=self.threads) for n, m in models.items()}
        return measure_latency(runs, rounds=effort.rounds, budget_seconds=effort.seconds)


def race(original: Model, result: Model, timer: Timer) -> Latency:
    """Time a result against the original, a second and longer time if it looks slower."""
    models = {"input": original, "result": result}
    latency = timer(models, LOOK)
    speedup = latency.speedups[1]
    doubtful = speedup.high < 1.0 or speedup.value < _NOISE
    return timer(models, CONFIRM) if doubtful else latency


def is_slower(latency: Latency) -> bool:
    """Whether the second model is proven slower than the first, beyond noise."""
    speedup = latency.speedups[1]
    return speedup.high < 1.0 and speedup.value < _NOISE


def costly_rules(
    result: Model,
    rules: Sequence[str],
    without: Callable[[str], Model],
    timer: Timer,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Speedup]:
    """The rules without any of which the result is faster.

    Args:
        result: The model that all rules made.
        rules: Those that applied; in a short time only the first are tried.
        without: Builds the model without one of them.
        timer: Times models.
        clock: Seconds; no new race starts after `SEARCH_SECONDS`.

    Returns:
        By rule, how many times faster the model without it is.
    """
    end = clock() + SEARCH_SECONDS
    found: dict[str, Speedup] = {}
    for start in range(0, len(rules), _AT_ONCE):
        if clock() >= end:
            break
        few = rules[start : start + _AT_ONCE]
        latency = timer({"all": result, **{rule: without(rule) for rule in few}}, LOOK)
        found.update((s.name, s) for s in _faster(latency.speedups[1:]))
    return found


def _faster(speedups: Iterable[Speedup]) -> Iterable[Speedup]:
    return (s for s in speedups if s.low > 1.0 and s.value > _WORTH)
