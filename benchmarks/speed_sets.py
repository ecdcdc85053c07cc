"""Times files against each other in several sets of sessions, and joins the intervals.

Two sessions of one file differ by some per cent, by where their memory lies: more than one set's
interval shows. The joined interval reaches from the lowest end to the highest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from onnxq.engine import Feed
from onnxq.measure import Latency, measure_latency, timed_run

OPENINGS = 3


def speeds(
    files: Mapping[str, Path], feed: Feed, seconds: float, *, threads: int = 1
) -> dict[str, dict[str, float]]:
    """Milliseconds, speed-up over the first file, its interval, and rounds, by name."""
    openings = [_opening(files, feed, seconds / OPENINGS, threads) for _ in range(OPENINGS)]
    joined: dict[str, dict[str, float]] = {}
    for place, name in enumerate(files):
        timings = [latency.timings[place] for latency in openings]
        speedups = [latency.speedups[place] for latency in openings]
        joined[name] = {
            "milliseconds": round(median(timing.median for timing in timings), 4),
            "speedup": round(median(speedup.value for speedup in speedups), 4),
            "low": round(min(speedup.low for speedup in speedups), 4),
            "high": round(max(speedup.high for speedup in speedups), 4),
            "rounds": sum(latency.rounds for latency in openings),
        }
    return joined


def _opening(files: Mapping[str, Path], feed: Feed, seconds: float, threads: int) -> Latency:
    runs = {name: timed_run(path, feed, threads=threads) for name, path in files.items()}
    return measure_latency(runs, rounds=400, budget_seconds=seconds)
