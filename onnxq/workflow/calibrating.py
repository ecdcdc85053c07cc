"""From a plan and samples to statistics: the float model is run, its tensors observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxq.calibration import Feeds, Progress, Statistics, collect, open_feeds
from onnxq.config import Config
from onnxq.engine import Feed, InputSpec, made_up_feeds, open_session, runner
from onnxq.errors import UsageError
from onnxq.graph import Model, copy_model

MADE_UP = 16
"""Samples are made up where none are given; more would tell nothing."""


def observe(
    model: Model,
    tensors: Sequence[str],
    feeds: Iterable[Feed],
    *,
    histogram: bool,
    progress: Progress | None,
) -> Statistics:
    """Run `model` over `feeds` and keep statistics of `tensors`.

    The tensors are fetched and observed here. Letting the engine reduce them to their extremes
    took as long, and its reductions pass over NaN.

    Raises:
        DataError: if there is no sample.
        ModelError: if the model does not run on a sample.
    """
    if not tensors:
        return Statistics({}, sum(1 for _ in feeds))
    # Nothing else runs meanwhile, so spinning threads disturb nobody and save a third.
    session = open_session(_returning(model, tensors), spinning=True)
    run = runner(session, list(tensors))
    return collect(run, feeds, tensors, histogram=histogram, progress=progress)


def _returning(model: Model, tensors: Sequence[str]) -> Model:
    """A copy of `model` that returns the named tensors alone."""
    twin = copy_model(model)
    variables = twin.variables
    twin.graph.outputs = [variables[name] for name in tensors]
    return twin


def open_calibration(
    given: object, config: Config, specs: Sequence[InputSpec]
) -> Feeds | list[Feed]:
    """The samples that calibrate: those given, or those that the configuration names.

    Raises:
        UsageError: if there are none.
    """
    settings = config.calibration
    if settings.random:
        return made_up_feeds(list(specs), min(settings.samples, MADE_UP), seed=config.seed)
    source = settings.data if given is None else given
    if source is None:
        raise UsageError(
            "no calibration data",
            why="ranges of activations are found from sample inputs",
            remedy="give --calibration PATH, or calibration.data in the configuration; "
            "--random makes inputs up, to look at speed and size only",
        )
    return open_feeds(source, specs, preprocessing=settings.preprocessing, samples=settings.samples)
