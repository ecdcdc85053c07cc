"""What was tried on the way to a result, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from onnxq.report import figures
from onnxq.report.tables import table
from onnxq.workflow import Trial


def trials_table(trials: Sequence[Trial]) -> RenderableType:
    """One line per trial; what was taken is marked."""
    timed = any(trial.speedup is not None for trial in trials)
    rows = [_row(trial, timed=timed) for trial in trials]
    columns = ("", "step", "tried", ">SQNR on probes", *((">speed",) if timed else ()))
    return table("What was tried (← taken)", columns, rows)


def _row(trial: Trial, *, timed: bool) -> tuple[str, ...]:
    speed = "" if trial.speedup is None else f"{trial.speedup:.2f}x"
    return (
        "←" if trial.taken else "",
        trial.step,
        trial.choice,
        figures.decibels(trial.sqnr),
        *((speed,) if timed else ()),
    )
