"""Races that were timed on one machine, kept so that another need not, or cannot, time them.

The machine that quantizes is often not the one that will run the model. Speeds measured on the
latter, saved there, lead the speed control here to the same layers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxq.errors import DataError, OutputError
from onnxq.graph import Model, atomic_file
from onnxq.measure import Latency, Speedup, Timing
from onnxq.workflow.racing import Effort, Timer

VERSION = 1


@dataclass(frozen=True)
class Timings:
    """Races between models, in the order in which they were run.

    Attributes:
        model: Digest of the model that was quantized.
        races: What was measured; a race is known by the names of its models.
    """

    model: str
    races: tuple[Latency, ...]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the races as JSON; an existing file is replaced in one step.

        Raises:
            OutputError: if the file cannot be written.
        """
        data = {"version": VERSION, "model": self.model, "races": [asdict(r) for r in self.races]}
        try:
            with atomic_file(Path(path)) as file:
                file.write(json.dumps(data, indent=1).encode() + b"\n")
        except OSError as error:
            raise OutputError(
                "cannot be written", where=str(path), why=error.strerror or str(error)
            ) from error
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Timings:
        """Read what `save` wrote.

        Raises:
            DataError: if the file cannot be read or is something else.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']}")
            return cls(str(data["model"]), tuple(_race(race) for race in data["races"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                "no timings can be read",
                where=str(path),
                why=f"{type(error).__name__}: {error}",
                remedy="save them again with --save-timings",
            ) from error


def _race(data: Mapping[str, Any]) -> Latency:
    return Latency(
        tuple(Timing(**timing) for timing in data["timings"]),
        tuple(Speedup(**speedup) for speedup in data["speedups"]),
        int(data["rounds"]),
    )


class Recorder:
    """A timer that remembers what it measured.

    Attributes:
        races: So far.
    """

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self.races: list[Latency] = []

    def __call__(self, models: Mapping[str, Model], effort: Effort) -> Latency:
        """Time models, and keep the figures."""
        self.races.append(self._timer(models, effort))
        return self.races[-1]


class Replay:
    """A timer that knows the answers; the models are not run."""

    def __init__(self, timings: Timings) -> None:
        self._races = list(timings.races)

    def __call__(self, models: Mapping[str, Model], effort: Effort) -> Latency:
        """What was measured of these models.

        Raises:
            DataError: if they never raced.
        """
        del effort
        race = self._races.pop(0) if self._races else None
        if race is None or [timing.name for timing in race.timings] != list(models):
            raise DataError(
                "the timings hold no race that is needed now",
                why=f"between {', '.join(models)}",
                remedy="time the same model with the same configuration and version of onnxq",
            )
        return race


def check_timings(timings: Timings, model: Model) -> None:
    """Make sure that timings are of a model.

    Raises:
        DataError: if they are of another one.
    """
    digest = model.digest()
    if timings.model != digest:
        raise DataError(
            "the timings belong to another model",
            why=f"they were made with {timings.model[:12]}, this is {digest[:12]}",
            remedy="time this model",
        )
