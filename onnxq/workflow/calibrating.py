"""From a plan and samples to statistics: the float model is run, its tensors observed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from onnxq.calibration import (
    Progress,
    Statistics,
    TensorStatistics,
    are_ordinary,
    collect,
    is_float,
)
from onnxq.engine import Feed, Run, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, Node, Tensor, Variable, copy_model
from onnxq.workflow.progress import length

_LOW, _HIGH, _SUM, _COUNT = ":lowest", ":highest", ":sum", ":count"
_REDUCTIONS: dict[str, tuple[str, dict[str, int]]] = {
    _LOW: ("ReduceMin", {"keepdims": 0}),
    _HIGH: ("ReduceMax", {"keepdims": 0}),
    # The engine's extremes pass over NaN; a sum does not.
    _SUM: ("ReduceSum", {"keepdims": 0}),
    _COUNT: ("Size", {}),
}


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
        # Read all the same: the samples also judge the result.
        return Statistics({}, sum(1 for _ in feeds))
    if histogram:
        return collect(_fetching(model, tensors), feeds, tensors, histogram=True, progress=progress)
    watch = _Extremes(model, tensors)
    found = {name: TensorStatistics.empty(histogram=False) for name in tensors}
    done, total = 0, length(feeds)
    for done, feed in enumerate(feeds, 1):
        watch.observe(feed, found)
        if progress is not None:
            progress(done, total)
    return Statistics(found, done)


def _fetching(model: Model, tensors: Sequence[str]) -> Run:
    return _open(_returning(model, tensors), tensors)


def _open(model: Model, outputs: Sequence[str]) -> Run:
    # Nothing else runs meanwhile, so spinning threads disturb nobody and save a third.
    return runner(open_session(model, spinning=True), outputs)


def _returning(model: Model, tensors: Sequence[str]) -> Model:
    """A copy of `model` that returns the named tensors alone."""
    twin = copy_model(model)
    variables = twin.variables
    twin.graph.outputs = [variables[name] for name in tensors]
    return twin


class _Extremes:
    """Lets the engine reduce each tensor to its extremes; fetches whole tensors if it fails."""

    def __init__(self, model: Model, tensors: Sequence[str]) -> None:
        self._model = model
        self._tensors = tensors
        self._reduced = _open(_reducing(model, tensors), _extreme_names(tensors))
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
        extremes = {}
        for name in self._tensors:
            low, high, total, count = (outputs[f"{name}{end}"].item() for end in _REDUCTIONS)
            if not are_ordinary(low, high) or not math.isfinite(total):
                return None
            extremes[name] = (low, high, count)
        return extremes


def _extreme_names(tensors: Sequence[str]) -> list[str]:
    return [f"{name}{end}" for name in tensors for end in _REDUCTIONS]


def _reducing(model: Model, tensors: Sequence[str]) -> Model:
    """A copy of `model` that returns extremes, sum and size of each tensor."""
    twin = _returning(model, tensors)
    outputs: list[Tensor] = []
    for tensor in twin.outputs:
        for end, (op, attributes) in _REDUCTIONS.items():
            result = Variable(f"{tensor.name}{end}")
            name = twin.new_name(f"{tensor.name}{end}")
            twin.nodes.append(Node(op, name, [tensor], [result], dict(attributes)))
            outputs.append(result)
    twin.graph.outputs = outputs
    return twin
