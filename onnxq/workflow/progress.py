"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from onnxq.engine import Feed


class Progress(Protocol):
    """Receives the stage that runs, and how much of it is done."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` steps of `stage` are finished; total is None if not known."""
        ...


def silent(stage: str, done: int, total: int | None) -> None:
    """Progress nobody sees."""
    del stage, done, total


@dataclass(frozen=True)
class Counted:
    """Samples that tell how many of them were read, each time anew."""

    feeds: Iterable[Feed]
    stage: str
    progress: Progress

    def __iter__(self) -> Iterator[Feed]:
        total = length(self.feeds)
        for done, feed in enumerate(self.feeds, 1):
            yield feed
            self.progress(self.stage, done, total)


def length(feeds: Iterable[Feed]) -> int | None:
    """How many samples there are, if that is known."""
    try:
        return len(feeds)  # type: ignore[arg-type]  # TypeError where it has no length
    except TypeError:
        return None


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
