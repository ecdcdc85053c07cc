"""The ways of choosing scales that were tried, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from onnxq.report import figures
from onnxq.report.tables import table
from onnxq.workflow import Trial


def trials_table(trials: Sequence[Trial]) -> RenderableType:
    """One line per trial; the best is marked."""
    best = max(trials, key=lambda trial: float("-inf") if trial.sqnr is None else trial.sqnr)
    rows: list[tuple[str, ...]] = [
        (
            "←" if trial is best and len(trials) > 1 else "",
            trial.method,
            trial.weight_search,
            trial.activations,
            figures.decibels(trial.sqnr),
        )
        for trial in trials
    ]
    columns: tuple[str, ...] = (
        "",
        "ranges of activations",
        "scales of weights",
        "HardSwish",
        ">SQNR of the outputs",
    )
    if not any(trial.activations for trial in trials):
        columns, rows = columns[:3] + columns[4:], [row[:3] + row[4:] for row in rows]
    return table("Methods tried", columns, rows)
