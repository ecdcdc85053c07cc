"""How much longer one model takes than another, measured until it is decided or time is out.

1. A block opens new sessions of both models, lets them take turns, and gives one ratio: where a
   session happens to lie in memory changes its speed for as long as it lives, so turns within one
   pair of sessions are no independent measurements, but blocks are. The ratio is that of the lower
   quartiles: other processes make turns longer and never shorter, so that even where they disturb
   most of the turns, the quickest quarter tells what the model takes.
2. The interval of the median ratio lies between two order statistics of the blocks. It holds for
   any distribution of the noise: the number of blocks below the median is binomial (n, 1/2)
   (Conover, Practical Nonparametric Statistics, section 3.2).
3. The interval is looked at a fixed number of times, each look with its share of the error
   probability (Bonferroni), so that looking again and again does not make a chance a finding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from onnxq.measure import measure_latency

LOOKS = (8, 12, 18, 27, 40)
"""Numbers of blocks at which the interval is looked at."""

ERROR = 0.05
"""Probability that any look misjudges the median, at most."""

_MANY_ROUNDS = 100_000
_BLOCK_SECONDS = 0.3
_QUICK_SECONDS = 0.1
_FEWEST_ROUNDS = {True: 11, False: 3}
"""Rounds of a block, whatever the time: of quick models and of others."""

Timed: TypeAlias = Callable[[], object]
"""Runs a model once on inputs it already holds."""

Block: TypeAlias = Callable[[int], float]
"""Measures block number i anew: the ratio (time of the model) / (time of the baseline)."""


@dataclass(frozen=True)
class Slowdown:
    """How many times as long a model takes as the baseline; above 1 is slower.

    Attributes:
        value: Median over the blocks.
        low: Lower end of its confidence interval; 0 if there are too few blocks for one.
        high: Upper end; infinite if there are too few.
        blocks: Number of blocks that were measured.
        ended: Why no more were: the interval decided it, or no time was left.
    """

    value: float
    low: float
    high: float
    blocks: int
    ended: str

    def exceeds(self, limit: float) -> bool | None:
        """Whether the ratio is above a limit; None if the interval does not tell."""
        if self.low > limit:
            return True
        return False if self.high <= limit else None


def measure_slowdown(
    block: Block,
    limit: float,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int, int], None] | None = None,
) -> Slowdown:
    """Measure blocks until the interval lies on one side of the limit.

    Args:
        block: Measures one block.
        limit: The ratio that is asked about.
        seconds: No new block starts after so long.
        clock: Seconds.
        progress: Called with the number of blocks measured and the largest number.
    """
    start = clock()
    ratios: list[float] = []
    while len(ratios) < LOOKS[-1] and (not ratios or clock() - start < seconds):
        ratios.append(block(len(ratios)))
        if progress is not None:
            progress(len(ratios), LOOKS[-1])
        if len(ratios) in LOOKS:
            found = _slowdown(ratios, "the interval decided it")
            if found.exceeds(limit) is not None:
                return found
    reason = "no time was left" if len(ratios) < LOOKS[-1] else "no further blocks are measured"
    return _slowdown(ratios, reason)


def in_turns(baseline: Callable[[], Timed], model: Callable[[], Timed]) -> Block:
    """Blocks that open both models anew, each block the other one first."""

    def block(number: int) -> float:
        opened: dict[str, Timed] = {}
        names = ("baseline", "model") if number % 2 == 0 else ("model", "baseline")
        openers = {"baseline": baseline, "model": model}
        for name in names:
            opened[name] = openers[name]()
        started = time.perf_counter()
        for run in opened.values():
            run()
        is_quick = time.perf_counter() - started < _QUICK_SECONDS
        latency = measure_latency(
            {name: opened[name] for name in ("baseline", "model")},
            rounds=_MANY_ROUNDS,
            minimum_rounds=_FEWEST_ROUNDS[is_quick],
            budget_seconds=_BLOCK_SECONDS,
            seed=number,
        )
        before, after = latency.timings
        return after.lower_quartile / before.lower_quartile

    return block


def median_interval(values: Sequence[float], error: float) -> tuple[float, float]:
    """Confidence interval of the median of a distribution, from independent draws.

    Args:
        values: The draws.
        error: Probability that the interval misses the median, at most.

    Returns:
        Both ends; (-inf, inf) if there are too few draws for this error.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    trimmed = _trimmed(ordered.size, error)
    if trimmed is None:
        return -math.inf, math.inf
    return float(ordered[trimmed]), float(ordered[ordered.size - 1 - trimmed])


def _trimmed(count: int, error: float) -> int | None:
    """How many of the smallest and of the largest draws may be left out; None: not enough draws."""
    trimmed = None
    outside = 0.0
    for k in range((count + 1) // 2):
        # Chance that at most k draws lie below the median, and the same above it.
        outside += 2.0 * math.comb(count, k) / 2.0**count
        if outside > error:
            break
        trimmed = k
    return trimmed


def _slowdown(ratios: Sequence[float], ended: str) -> Slowdown:
    low, high = median_interval(ratios, ERROR / len(LOOKS))
    return Slowdown(float(np.median(ratios)), max(low, 0.0), high, len(ratios), ended)
