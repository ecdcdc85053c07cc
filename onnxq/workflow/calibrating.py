"""From a plan and samples to statistics: the float model is run, its tensors observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxq.calibration import Progress, Statistics, collect
from onnxq.engine import Feed, open_session, runner
from onnxq.graph import Model, copy_model


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
