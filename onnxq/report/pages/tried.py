"""What was tried on the way to a result, as charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxq.measure import SQNR_CAP
from onnxq.report import figures
from onnxq.report.html import LineChart, Part, Point, Scatter, Table
from onnxq.workflow import Trial

_FEWEST, _FEW = 2, 12


def tried(trials: Sequence[Trial]) -> Iterator[Part]:
    """The frontier of speed and likeness where both were measured, the course, and a table."""
    both = [
        Point(t.speedup, min(t.sqnr, SQNR_CAP), f"{t.step}: {t.choice}", t.step, t.taken)
        for t in trials
        if t.speedup is not None and t.sqnr is not None
    ]
    if len(both) >= _FEWEST:
        yield Scatter(
            "The frontier of what was tried",
            both,
            "times the speed of the input",
            "SQNR of the outputs in dB",
            "Up and to the right is better; no trial beats those on the dashed line. Circles mark "
            "what was taken.",
        )
    measured = [
        Point(index, min(t.sqnr, SQNR_CAP), f"{t.step}: {t.choice}", marked=t.taken)
        for index, t in enumerate(trials, start=1)
        if t.sqnr is not None
    ]
    if len(measured) >= _FEWEST:
        yield LineChart(
            "What was tried, one after another",
            measured,
            "trial",
            "SQNR on probes in dB",
            "Each question starts from the best answer to the one before; circles mark what was "
            "taken.",
        )
    yield Table(
        "Everything that was tried",
        ("taken", "step", "tried", ">SQNR on probes", ">speed"),
        [_row(trial) for trial in trials],
        folded=len(trials) > _FEW,
    )


def _row(trial: Trial) -> tuple[str, ...]:
    speed = "" if trial.speedup is None else f"{trial.speedup:.2f}×"
    taken = "✓" if trial.taken else ""
    return taken, trial.step, trial.choice, figures.decibels(trial.sqnr), speed
