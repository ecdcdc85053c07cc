"""Two models on the same inputs: what differs, where it begins, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx

from onnxq.config import Config
from onnxq.engine import Feed, Run, input_specs, open_session, runner
from onnxq.graph import Model, load
from onnxq.measure import (
    Accuracy,
    Fidelity,
    Latency,
    Pair,
    Work,
    compare_layers,
    compare_results,
    file_size,
    load_labels,
    measure_accuracy,
    measure_latency,
    parse_metric,
    reported_metrics,
    timed_run,
)
from onnxq.workflow.progress import Counted, Progress, Stages, silent
from onnxq.workflow.sampling import judging_samples
from onnxq.workflow.sizes import work_of_both

VERSION = 1
_LAYER_SAMPLES = 8
_DEQUANTIZED = "_dequantized"


@dataclass(frozen=True)
class Layer:
    """An inner tensor that both models compute.

    Attributes:
        op: The operator that computes it in the first model.
        tensor: Its name in the first model.
        judged: The tensor of the second model that stands for it.
        fidelity: How they differ.
    """

    op: str
    tensor: str
    judged: str
    fidelity: Fidelity


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; the first model is the reference.

    Attributes:
        models: Both files.
        bytes: Their sizes on disk, external data included.
        judged_on: On which inputs.
        fidelity: Differences by output.
        layers: Differences by inner tensor in the first model's order; None if not asked for.
        accuracy: Of both, if there were labels.
        latency: Of both, measured in turns; None if not asked for.
        seconds: Time by stage.
        work: What one run of each computes.
    """

    models: tuple[str, str]
    bytes: tuple[int, int]
    judged_on: str
    fidelity: Mapping[str, Fidelity]
    layers: tuple[Layer, ...] | None
    accuracy: tuple[Accuracy, Accuracy] | None
    latency: Latency | None
    seconds: Mapping[str, float] = field(compare=False)
    work: tuple[Work, Work] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "version": VERSION,
            "models": list(self.models),
            "bytes": list(self.bytes),
            "judged_on": self.judged_on,
            "fidelity": {name: asdict(found) for name, found in self.fidelity.items()},
            "layers": None if self.layers is None else [asdict(layer) for layer in self.layers],
            "accuracy": None if self.accuracy is None else [_scores(a) for a in self.accuracy],
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=self.bytes,
                work=self.work,
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "latency": None if self.latency is None else asdict(self.latency),
            "seconds": dict(self.seconds),
        }


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    config: Config | None = None,
    layers: bool = False,
    dimensions: Mapping[str, int] | None = None,
    seconds: float = 3.0,
    progress: Progress = silent,
) -> Comparison:
    """Run two models on the same inputs and compare what they give and cost.

    Args:
        first: The reference.
        second: The model that is judged.
        config: `evaluate` says on which inputs and labels, `threads` how speed is measured.
            Without inputs one is made up.
        layers: Compare inner tensors too, on at most 8 samples: those of equal name, and
            where the second model quantizes a tensor, its dequantized form.
        dimensions: Sizes of free dimensions of made-up inputs, by name; 1 by default.
        seconds: Time spent on measuring speed; 0: none.
        progress: Called as the work goes on.

    Raises:
        ModelError: if a model is invalid or does not run.
        DataError: if the inputs do not fit, or there are none.
    """
    config = config or Config()
    stages = Stages(progress)
    paths = (Path(first), Path(second))
    with stages.stage("load"):
        models = (load(paths[0]), load(paths[1]))
        sessions = tuple(open_session(path) for path in paths)
        runs = (runner(sessions[0]), runner(sessions[1]))
        samples = judging_samples(config, input_specs(sessions[0]), dimensions)
    with stages.stage("compare outputs"):
        fidelity = compare_results(*runs, Counted(samples.feeds, "compare outputs", progress))
    with stages.stage("measure accuracy"):
        accuracy = _accuracy(runs, samples.feeds, config)
    with stages.stage("compare layers"):
        found = _layers(models, paths, samples.first(_LAYER_SAMPLES)) if layers else None
    with stages.stage("measure speed"):
        latency = _latency(paths, samples.first(1)[0], config.threads, seconds)
    return Comparison(
        models=(str(first), str(second)),
        bytes=(file_size(paths[0]).total, file_size(paths[1]).total),
        judged_on=samples.description,
        fidelity=fidelity,
        layers=found,
        accuracy=accuracy,
        latency=latency,
        seconds=stages.seconds,
        work=work_of_both(*models),
    )


def matching_tensors(first: Model, second: Model) -> dict[Pair, str]:
    """Inner tensors of the first model that the second computes too, with their operator.

    A tensor's dequantized form counts more than the tensor itself: it is what is read.
    """
    outputs = {tensor.name for tensor in first.outputs}
    known = second.variables
    pairs: dict[Pair, str] = {}
    for node in first.nodes:
        for name in (t.name for t in node.outputs if t.name and t.name not in outputs):
            match = next((n for n in (name + _DEQUANTIZED, name) if n in known), None)
            if match is not None:
                pairs[name, match] = node.op
    return pairs


def _layers(
    models: tuple[Model, Model], paths: tuple[Path, Path], feeds: Collection[Feed]
) -> tuple[Layer, ...]:
    pairs = matching_tensors(*models)
    if not pairs:
        return ()
    # With the weights inside: the protos are extended and run from memory.
    protos = (onnx.load(str(paths[0])), onnx.load(str(paths[1])))
    found = compare_layers(*protos, list(pairs), list(feeds))
    return tuple(
        Layer(pairs[pair], *pair, fidelity)
        for pair, fidelity in found.items()
        if fidelity.exact is None
    )


def _accuracy(
    runs: tuple[Run, Run], feeds: Iterable[Feed], config: Config
) -> tuple[Accuracy, Accuracy] | None:
    settings = config.evaluate
    if settings.labels is None or settings.data is None:
        return None
    labels = load_labels(settings.labels, data=Path(settings.data))[: settings.samples]
    metric = parse_metric(settings.metric)
    first, second = (
        measure_accuracy(run, feeds, labels, metric, output=settings.output) for run in runs
    )
    return first, second


def _latency(paths: tuple[Path, Path], feed: Feed, threads: int, seconds: float) -> Latency | None:
    if not seconds:
        return None
    names = ("first", "second")
    runs = {n: timed_run(p, feed, threads=threads) for n, p in zip(names, paths, strict=True)}
    return measure_latency(runs, budget_seconds=seconds)


def _scores(accuracy: Accuracy) -> dict[str, Any]:
    fields = ("metric", "value", "samples", "standard_error")
    return {name: getattr(accuracy, name) for name in fields}
