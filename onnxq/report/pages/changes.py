"""Figures before and after, as cards: the same words as the terminal's tables."""

from __future__ import annotations

from pathlib import PurePath

from onnxq.measure import Accuracy, Latency, accuracy_drop
from onnxq.report.before_after import accuracy_row, latency_row, size_row
from onnxq.report.html import Change, State

_CERTAIN = 2.0
"""Standard errors beyond which a change is taken to be real."""


def size_change(before: int, after: int) -> Change:
    """Bytes of both files."""
    name, first, second, change = (str(cell) for cell in size_row(before, after))
    return Change(name, first, second, change, _smaller(before, after), bars(before, after))


def accuracy_change(before: Accuracy, after: Accuracy) -> Change:
    """Both scores."""
    name, first, second, change = (str(cell) for cell in accuracy_row(before, after))
    drop = accuracy_drop(before, after)
    worse = drop.value > _CERTAIN * (drop.standard_error or 0.0)
    state = State.BAD if worse else State.PLAIN if drop.value > 0.0 else State.GOOD
    return Change(name, first, second, change, state)


def latency_change(latency: Latency) -> Change:
    """Both medians, and the ratio with its interval."""
    name, first, second, change = (str(cell) for cell in latency_row(latency))
    ratio, (one, other) = latency.speedups[1], latency.timings
    state = State.GOOD if ratio.low > 1.0 else State.BAD if ratio.high < 1.0 else State.PLAIN
    return Change(name, first, second, change, state, bars(one.median, other.median))


def short_name(path: str | None) -> str:
    """The last two steps of a path: many models are called `model.onnx`."""
    return "/".join(PurePath(path).parts[-2:]).lstrip("/") if path else "model"


def bars(before: float, after: float) -> tuple[float, float] | None:
    """Both as shares of the larger; None if neither is above zero."""
    largest = max(before, after)
    return (before / largest, after / largest) if largest > 0.0 else None


def _smaller(before: float, after: float) -> State:
    if after == before:
        return State.PLAIN
    return State.GOOD if after < before else State.BAD
