"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol


class Progress(Protocol):
    """Receives the stage that runs, and how much of it is done."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` steps of `stage` are finished; total is None if not known."""
        ...


def silent(stage: str, done: int, total: int | None) -> None:
    """Progress nobody sees."""
    del stage, done, total


class Stages:
    """Times named stages and announces each."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and add the time it takes."""
        self._progress(name, 0, None)
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - started
