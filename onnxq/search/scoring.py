"""What a model is worth: cheap figures first, and the dear ones only for those that may win."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.config import Config, ObjectiveName
from onnxq.engine import Feed, InputSpec, Run, open_session, runner
from onnxq.errors import UsageError
from onnxq.graph import Model
from onnxq.measure import (
    Accuracy,
    Fidelity,
    compare_outputs,
    count_bit_operations,
    count_macs,
    load_labels,
    mean_sqnr,
    measure_accuracy,
    measure_latency,
    parse_metric,
)
from onnxq.search.figures import Figures
from onnxq.targets import Target
from onnxq.workflow.proving import judging_samples
from onnxq.workflow.samples import Division, own_copy
from onnxq.workflow.simulation import CEILING
from onnxq.workflow.sizes import stored_size
from onnxq.workflow.verifying import open_result

Outputs: TypeAlias = Mapping[str, NDArray[Any]]

_PROBES = 2
_ROUNDS, _SECONDS = 30, 1.2
_GLANCE_ROUNDS, _GLANCE_SECONDS = 40, 0.3
_CLEARLY_LESS = 0.85
"""Where a first glance at the latency cannot err as far."""

_MARGIN = 1.0
"""dB by which the SQNR on the few probes must differ to tell anything."""


@dataclass
class Scorer:
    """Measures models.

    Attributes:
        original: The model as it was given.
        config: What all trials share.
        target: The engine.
        samples: On which models are judged.
        origin: Where those come from.
        objectives: What is looked for.
    """

    original: Model
    config: Config
    target: Target
    samples: Sequence[Feed]
    origin: str
    objectives: Sequence[ObjectiveName]
    _expected: list[Outputs] = field(init=False)
    _original_run: Run = field(init=False)

    def __post_init__(self) -> None:
        # Opened once, as it takes turns with every trial.
        self._original_run = self.open(self.original)
        self._expected = [self._original_run(feed) for feed in self.samples]

    @property
    def metric(self) -> str:
        """What quality is."""
        labelled = self.config.evaluate.labels is not None
        return self.config.budget.metric or ("accuracy" if labelled else "sqnr")

    @property
    def times(self) -> bool:
        """Whether latency counts."""
        return "latency" in self.objectives and self.target.measurable

    def open(self, model: Model) -> Run:
        """Open a model once for all that is measured of it.

        Raises:
            ModelError: if the model does not run.
        """
        if not self.target.measurable:
            return runner(open_result(model, self.target))
        return runner(open_session(model, threads=self.config.threads, spinning=False))

    def known(self, model: Model, run: Run) -> Figures:
        """What can be told of a model after a glance; its quality is not known yet."""
        proto = model.to_proto()
        cost = count_macs(proto)
        proxy = mean_sqnr(self._compared(run, _PROBES))
        return Figures(
            quality=float("nan"),
            loss=float("nan"),
            size=stored_size(model),
            bit_operations=count_bit_operations(proto, cost),
            macs=cost.macs,
            proxy=None if proxy is None else min(proxy, CEILING),
        )

    def glanced(self, run: Run, known: Figures) -> Figures:
        """The same with a first look at the latency: the better of it and one before."""
        if not self.times:
            return known
        found = self._timed(run, known, _GLANCE_ROUNDS, _GLANCE_SECONDS)
        before = known.latency
        return known if before is not None and before <= (found.latency or 0.0) else found

    def measured(self, run: Run, known: Figures) -> Figures:
        """Everything."""
        quality = self.quality(run)
        whole = replace(known, quality=quality, loss=self.loss(quality))
        return self._timed(run, whole, _ROUNDS, _SECONDS) if self.times else whole

    def quality(self, run: Run) -> float:
        """The metric of a model.

        Raises:
            UsageError: if the samples cannot tell it.
        """
        if self.metric == "accuracy":
            return self._accuracy(run).value
        value = _FIDELITIES[self.metric](self._compared(run, len(self.samples)))
        if value is None:
            raise UsageError(
                f"{self.metric} cannot be measured on the outputs of this model",
                remedy="choose another budget.metric",
            )
        return min(value, CEILING)

    def loss(self, quality: float) -> float:
        """Quality as something of which less is better; what is not a number is infinitely bad."""
        lower = self.metric == "accuracy" and self.config.evaluate.metric == "mse"
        loss = quality if lower else -quality
        return loss if np.isfinite(loss) else float("inf")

    def limit(self, default: float) -> float | None:
        """The largest loss that the budget allows; None if any will do.

        Args:
            default: The quality of the default recipe: with a single objective it is the limit
                where there is no budget.
        """
        budget, limits = self.config.budget, []
        if budget.minimum is not None:
            limits.append(self.loss(budget.minimum))
        if budget.max_drop is not None:
            perfect = self.quality(self._original_run)
            limits.append(self.loss(perfect) + budget.max_drop)
        alone = len(self.objectives) == 1 and self.objectives[0] != "quality"
        if not limits and alone:
            limits.append(self.loss(default))
        return min(limits, default=None)

    def _accuracy(self, run: Run) -> Accuracy:
        settings = self.config.evaluate
        if settings.labels is None:
            raise UsageError("accuracy needs labels", remedy="name them in base.evaluate.labels")
        labels = load_labels(settings.labels, data=Path(settings.data or ""))[: settings.samples]
        metric = parse_metric(settings.metric)
        return measure_accuracy(run, self.samples, labels, metric, output=settings.output)

    def _compared(self, run: Run, count: int) -> Mapping[str, Fidelity]:
        """A model against the original on the first samples."""
        expected = iter(self._expected)
        return compare_outputs(lambda _: next(expected), run, self.samples[:count])

    def _timed(self, run: Run, known: Figures, rounds: int, seconds: float) -> Figures:
        feed = self.samples[0]
        runs = {"input": lambda: self._original_run(feed), "trial": lambda: run(feed)}
        found = measure_latency(runs, rounds=rounds, budget_seconds=seconds)
        return replace(
            known,
            latency=1.0 / found.speedups[1].value,
            milliseconds=found.timings[1].median,
        )


def open_scorer(
    original: Model,
    config: Config,
    target: Target,
    specs: Sequence[InputSpec],
    division: Division,
    objectives: Sequence[ObjectiveName],
) -> Scorer:
    """A scorer with the samples that a configuration names, or those held out."""
    judging = judging_samples(config, specs, division)
    samples = [own_copy(feed) for feed in judging.feeds]
    return Scorer(original, config, target, samples, judging.origin, objectives)


def hopeless(
    glance: Figures,
    measured: Sequence[Figures],
    objectives: Sequence[ObjectiveName],
    least: float | None,
) -> str:
    """Why a trial cannot come to the front, as far as cheap figures tell; empty if it may.

    Args:
        glance: What is known of it.
        measured: Of the trials that were measured in full.
        objectives: What is looked for.
        least: SQNR in dB below which nothing is wanted; None if anything is.
    """
    if glance.proxy is None:
        return ""
    if least is not None and glance.proxy < least - 3 * _MARGIN:
        return f"SQNR of {glance.proxy:.1f} dB on the probes: far below the budget"
    for other in measured:
        if all(_LESS[name](other, glance) for name in objectives):
            return "another is clearly better in everything, as far as probes and a glance tell"
    return ""


def _more_exact(one: Figures, other: Figures) -> bool:
    return one.proxy is not None and other.proxy is not None and one.proxy >= other.proxy + _MARGIN


def _faster(one: Figures, other: Figures) -> bool:
    if one.latency is None or other.latency is None:
        return False
    return one.latency <= _CLEARLY_LESS * other.latency


_LESS: Mapping[ObjectiveName, Callable[[Figures, Figures], bool]] = {
    "quality": _more_exact,
    "size": lambda one, other: one.size <= other.size,
    "latency": _faster,
    "bit-operations": lambda one, other: one.bit_operations <= other.bit_operations,
}


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


_FIDELITIES: Mapping[str, Callable[[Mapping[str, Fidelity]], float | None]] = {
    "sqnr": mean_sqnr,
    "cosine": lambda found: _mean(f.cosine for f in found.values()),
    "agreement": lambda found: _mean(f.agreement for f in found.values()),
}
