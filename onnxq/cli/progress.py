"""Showing progress: a bar for terminals, lines for logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from onnxq.errors import printable

if TYPE_CHECKING:
    from onnxq.workflow import Progress as Report


@contextmanager
def bar(console: Console) -> Iterator[Report]:
    """A bar with the time left for the stage that runs; it vanishes at the end."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)


class _Bar:
    """One line, which belongs to the stage that runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        stage = printable(stage)
        # What follows the dot are figures of the same stage.
        name = stage.partition(" · ")[0]
        if name != self._stage or self._task is None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._stage = name
            self._task = self._progress.add_task(stage, total=total)
        self._progress.update(self._task, description=stage, completed=done, total=total)


def lines(write: Callable[[str], None]) -> Report:
    """A line when a stage begins."""
    last = ""

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal last
        del done, total
        if stage != last:
            last = stage
            write(f"{stage} …")

    return report
