"""How fast models run, measured in turns on the same input."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxq.config import Config
from onnxq.engine import InputSpec, input_specs, open_session
from onnxq.errors import UsageError
from onnxq.graph import load
from onnxq.measure import Latency, measure_latency, timed_run
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.sampling import judging_samples

VERSION = 1
_MANY_ROUNDS = 100_000
"""Time ends the measurement, not their number."""


@dataclass(frozen=True)
class Benchmark:
    """What `bench` found.

    Attributes:
        latency: Timings in milliseconds, and speed-ups relative to the first model.
        measured_on: On which input.
        threads: Threads within an operator; 0: the engine's choice.
    """

    latency: Latency
    measured_on: str
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values; times in milliseconds."""
        return {
            "version": VERSION,
            "measured_on": self.measured_on,
            "threads": self.threads,
            **asdict(self.latency),
        }


def bench(
    models: Sequence[str | os.PathLike[str]],
    *,
    config: Config | None = None,
    dimensions: Mapping[str, int] | None = None,
    seconds: float = 5.0,
    progress: Progress = silent,
) -> Benchmark:
    """Time models against each other on one input.

    Args:
        models: Their files; speed-ups are relative to the first.
        config: `evaluate.data` gives the input, `threads` the number of threads. Without data
            the input is made up.
        dimensions: Sizes of free dimensions of a made-up input, by name; 1 by default.
        seconds: Start no new round after so many seconds.
        progress: Called as the work goes on.

    Raises:
        UsageError: if there is no model, or their inputs differ.
        ModelError: if a model is invalid or does not run.
    """
    if not models:
        raise UsageError("nothing to time", remedy="give at least one model")
    config = config or Config()
    stages = Stages(progress)
    with stages.stage("load"):
        names = _names(models)
        specs = _common_inputs(models)
        samples = judging_samples(config, specs, dimensions)
        feed = samples.first(1)[0]
        runs = {
            name: timed_run(Path(model), feed, threads=config.threads)
            for name, model in zip(names, models, strict=True)
        }
    with stages.stage("measure speed"):
        latency = measure_latency(runs, rounds=_MANY_ROUNDS, budget_seconds=seconds)
    which = "" if samples.made_up else "the first sample of "
    return Benchmark(latency, f"{which}{samples.description}", config.threads)


def _names(models: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The files' names; a model that is given twice, as a control, is told apart."""
    names: list[str] = []
    for model in models:
        name, serial = str(model), 1
        while name in names:
            serial += 1
            name = f"{model} ({serial})"
        names.append(name)
    return names


def _common_inputs(models: Sequence[str | os.PathLike[str]]) -> list[InputSpec]:
    """The inputs of the first model, which all others must have too."""
    first, *others = map(_inputs, models)
    wanted = {spec.name: spec.dtype for spec in first}
    for model, specs in zip(models[1:], others, strict=True):
        given = {spec.name: spec.dtype for spec in specs}
        if given != wanted:
            raise UsageError(
                "the models have different inputs",
                where=str(model),
                why=f"it has {_described(given)}, the first has {_described(wanted)}",
                remedy="time models with the same inputs",
            )
    return first


def _inputs(model: str | os.PathLike[str]) -> list[InputSpec]:
    # The engine's own words about a file that is no model are hard to read.
    load(model)
    return input_specs(open_session(Path(model)))


def _described(inputs: Mapping[str, object]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in inputs.items()) or "none"
