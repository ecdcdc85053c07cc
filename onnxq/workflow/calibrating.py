"""From a plan and samples to statistics: the float model is run, its tensors observed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import helper

from onnxq.calibration import (
    Progress,
    Statistics,
    TensorStatistics,
    are_ordinary,
    collect,
    is_float,
)
from onnxq.engine import Feed, Run, open_session, runner, with_outputs
from onnxq.errors import ModelError
from onnxq.graph import Model

_LOW, _HIGH, _COUNT = ":lowest", ":highest", ":count"


def observe(
    model: Model,
    tensors: Sequence[str],
    feeds: Iterable[Feed],
    *,
    histogram: bool,
    progress: Progress | None,
) -> Statistics:
    """Run `model` over `feeds` and keep statistics of `tensors`.

    Where extremes are all that is needed, the engine computes them itself, which saves
    fetching the tensors; if it cannot (an empty tensor, say), they are fetched after all.

    Raises:
        DataError: if there is no sample.
        ModelError: if the model does not run on a sample.
    """
    if not tensors:
        return Statistics({}, 0)
    if histogram:
        return collect(_fetching(model, tensors), feeds, tensors, histogram=True, progress=progress)
    watch = _Extremes(model, tensors)
    found = {name: TensorStatistics.empty(histogram=False) for name in tensors}
    done = 0
    for done, feed in enumerate(feeds, 1):
        watch.observe(feed, found)
        if progress is not None:
            progress(done, None)
    return Statistics(found, done)


def _fetching(model: Model, tensors: Sequence[str]) -> Run:
    proto = with_outputs(model.to_proto(), tensors)
    session = open_session(Model(proto, model.base_directory), spinning=True)
    return runner(session, list(tensors))


class _Extremes:
    """Lets the engine reduce each tensor to its extremes; fetches whole tensors if it fails."""

    def __init__(self, model: Model, tensors: Sequence[str]) -> None:
        self._model = model
        self._tensors = tensors
        proto = _reducing(model.to_proto(), tensors)
        # Nothing else runs meanwhile, so spinning threads disturb nobody and save a third.
        session = open_session(Model(proto, model.base_directory), spinning=True)
        self._reduced = runner(session)
        self._fetched: Run | None = None

    def observe(self, feed: Feed, found: Mapping[str, TensorStatistics]) -> None:
        """Add one sample to the statistics."""
        extremes = self._extremes(feed)
        if extremes is not None:
            for name, (low, high, count) in extremes.items():
                found[name].observe_extremes(low, high, count)
            return
        if self._fetched is None:
            self._fetched = _fetching(self._model, self._tensors)
        for name, value in self._fetched(feed).items():
            if is_float(value.dtype):
                found[name].observe(value)

    def _extremes(self, feed: Feed) -> dict[str, tuple[float, float, int]] | None:
        """(lowest, highest, count) by tensor; None if the values themselves must be seen."""
        try:
            outputs = self._reduced(feed)
        except ModelError:
            # An empty tensor has no extremes; a real fault shows when the values are fetched.
            return None
        extremes = {
            name: tuple(outputs[f"{name}{end}"].item() for end in (_LOW, _HIGH, _COUNT))
            for name in self._tensors
        }
        if not all(are_ordinary(low, high) for low, high, _ in extremes.values()):
            return None
        return extremes


def _reducing(proto: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """Let `proto` return lowest value, highest value and size of each tensor, nothing else."""
    del proto.graph.output[:]
    for name in tensors:
        proto.graph.node.extend(
            [
                helper.make_node("ReduceMin", [name], [f"{name}{_LOW}"], keepdims=0),
                helper.make_node("ReduceMax", [name], [f"{name}{_HIGH}"], keepdims=0),
                helper.make_node("Size", [name], [f"{name}{_COUNT}"]),
            ]
        )
        for end in (_LOW, _HIGH, _COUNT):
            proto.graph.output.add(name=f"{name}{end}")
    return proto
