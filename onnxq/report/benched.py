"""Timings, shown."""

from __future__ import annotations

from rich.console import RenderableType

from onnxq.measure import Speedup
from onnxq.report import figures
from onnxq.report.tables import table
from onnxq.workflow import Benchmark

_COLUMNS = (
    "model",
    ">median",
    ">lower quartile",
    ">upper quartile",
    ">minimum",
    ">times faster",
    "95 % interval",
)


def benched(benchmark: Benchmark) -> RenderableType:
    """One line per model."""
    latency = benchmark.latency
    rows = [
        (
            timing.name,
            figures.milliseconds(timing.median),
            figures.milliseconds(timing.lower_quartile),
            figures.milliseconds(timing.upper_quartile),
            figures.milliseconds(timing.minimum),
            "" if index == 0 else f"{speedup.value:.2f}",
            "" if index == 0 else interval(speedup),
        )
        for index, (timing, speedup) in enumerate(
            zip(latency.timings, latency.speedups, strict=True)
        )
    ]
    threads = benchmark.threads or "the engine's choice"
    note = f"{latency.rounds} rounds, threads: {threads}, on {benchmark.measured_on}"
    return table("Latency", _COLUMNS, rows, note=note)


def interval(speedup: Speedup) -> str:
    """The ends, and a remark where they prove nothing."""
    ends = f"{speedup.low:.2f} to {speedup.high:.2f}"
    return f"{ends} (no difference proven)" if speedup.low <= 1.0 <= speedup.high else ends
