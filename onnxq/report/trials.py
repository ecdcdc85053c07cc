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
    rows = [
        (
            "←" if trial is best and len(trials) > 1 else "",
            trial.method,
            trial.weight_search,
            figures.decibels(trial.sqnr),
        )
        for trial in trials
    ]
    columns = ("", "ranges of activations", "scales of weights", ">SQNR of the outputs")
    return table("Methods tried", columns, rows)
