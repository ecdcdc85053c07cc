"""The task metric of a model whose quantizations are simulated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onnxq.config import Config
from onnxq.engine import InputSpec
from onnxq.measure import Metric, load_labels, measure_accuracy, parse_metric
from onnxq.workflow.progress import Counted, Progress
from onnxq.workflow.sampling import Samples, judging_samples
from onnxq.workflow.simulation import Simulation, Switch

_LABELLED = 128
"""Samples that are enough where the configuration does not say how many."""


@dataclass(frozen=True)
class SimulatedAccuracy:
    """The metric of the configuration, with any subset of a plan's quantizations.

    Attributes:
        simulation: Of the plan.
        samples: Inputs.
        labels: One for each.
        metric: What is measured.
        output: Name of the scored output; None: the first.
        progress: Called with the stage "measure accuracy" as the work goes on.
    """

    simulation: Simulation
    samples: Samples
    labels: NDArray[Any]
    metric: Metric
    output: str | None
    progress: Progress

    @classmethod
    def made(
        cls,
        config: Config,
        specs: Sequence[InputSpec],
        simulation: Simulation,
        progress: Progress,
    ) -> SimulatedAccuracy | None:
        """None where there are no labels."""
        settings = config.evaluate
        if settings.data is None or settings.labels is None:
            return None
        count = settings.samples or _LABELLED
        limited = settings.model_copy(update={"samples": count})
        samples = judging_samples(config.model_copy(update={"evaluate": limited}), specs)
        labels = load_labels(settings.labels, data=Path(settings.data))[:count]
        metric = parse_metric(settings.metric)
        return cls(simulation, samples, labels, metric, settings.output, progress)

    def of(self, on: Collection[Switch]) -> float:
        """The metric with these quantizations."""
        return measure_accuracy(
            lambda feed: self.simulation.run(feed, on),
            Counted(self.samples.feeds, "measure accuracy", self.progress),
            self.labels,
            self.metric,
            output=self.output,
        ).value
