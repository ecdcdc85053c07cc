"""What the gates look at: the model, the baseline, the samples, and what was measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from onnxq.calibration import Feeds, open_feeds
from onnxq.config import Gates
from onnxq.engine import Feed, made_up_feeds
from onnxq.errors import DataError
from onnxq.gates.figures import Figures, figures_of
from onnxq.gates.subject import Subject
from onnxq.gates.verdict import Skipped
from onnxq.measure import (
    Accuracy,
    Fidelity,
    compare_outputs,
    load_labels,
    measure_accuracy,
    parse_metric,
)

Told: TypeAlias = Callable[[str, int, int | None], None]
"""Receives the stage that runs, and how much of it is done."""


@dataclass(frozen=True, eq=False)
class BaselineModel:
    """The model to compare with is at hand."""

    subject: Subject

    @property
    def name(self) -> str:
        """Its file."""
        return str(self.subject.path)


@dataclass(frozen=True)
class BaselineLock:
    """Only the figures of the model to compare with are at hand.

    Attributes:
        path: The lock file.
        figures: What it records.
        data: Digest of the labelled data that its accuracy was measured on.
    """

    path: Path
    figures: Figures
    data: str | None

    @property
    def name(self) -> str:
        """The lock file."""
        return str(self.path)


Baseline: TypeAlias = BaselineModel | BaselineLock


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the gates may ask for; each answer is worked out once.

    Attributes:
        gates: What was asked.
        model: The model that is checked.
        baseline: What to compare with.
        progress: Told as the work goes on.
    """

    gates: Gates
    model: Subject
    baseline: Baseline | None
    progress: Told

    @property
    def rival(self) -> Subject | None:
        """The baseline's model, if it is at hand."""
        return self.baseline.subject if isinstance(self.baseline, BaselineModel) else None

    @cached_property
    def feeds(self) -> Iterable[Feed]:
        """The samples of `evaluate.data`, or one that is made up.

        Raises:
            DataError: if they do not fit the model.
        """
        settings = self.gates.evaluate
        if settings.data is not None:
            return open_feeds(
                settings.data,
                self.model.inputs,
                preprocessing=settings.preprocessing,
                samples=settings.samples,
            )
        return made_up_feeds(
            self.model.inputs, 1, seed=self.gates.seed, dimensions=self.gates.dimensions
        )

    @property
    def origin(self) -> str:
        """Where the samples come from, in words."""
        return self.gates.evaluate.data or "one made-up input"

    @property
    def data_digest(self) -> str | None:
        """Digest of the samples' content, where it is cheap to find."""
        return self.feeds.digest if isinstance(self.feeds, Feeds) else None

    @cached_property
    def few(self) -> list[Feed]:
        """The first samples.

        Raises:
            DataError: if there is none.
        """
        wanted = 1 if self.gates.numerics is None else self.gates.numerics.samples
        found = list(islice(self.feeds, wanted))
        if not found:
            raise DataError("there is no sample", where=self.origin)
        return found

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """The model's accuracy, if there are labels."""
        return self._accuracy(self.model)

    @cached_property
    def rivals_accuracy(self) -> Accuracy | None:
        """That of the baseline's model, if it is at hand and there are labels."""
        return None if self.rival is None else self._accuracy(self.rival)

    @cached_property
    def fidelity(self) -> Mapping[str, Fidelity]:
        """How far outputs on the first samples are from the baseline's; empty without its model."""
        if self.rival is None:
            return {}
        self.progress("compare outputs", 0, None)
        return compare_outputs(self.rival.run, self.model.run, self.few)

    @cached_property
    def figures(self) -> Figures:
        """The model in figures."""
        return figures_of(self.model, self.accuracy)

    @cached_property
    def reference(self) -> Figures | None:
        """The baseline in figures, if there is one."""
        match self.baseline:
            case BaselineModel(subject):
                return figures_of(subject, self.rivals_accuracy)
            case BaselineLock(figures=figures):
                return figures
            case None:
                return None

    def without_baseline(self, what: str) -> Skipped:
        """Nothing to compare with."""
        return Skipped(f"there is no baseline to compare {what} with", "give --baseline")

    def without_model(self, what: str) -> Skipped:
        """Comparing needs the baseline's model, and there is none, or only a lock file."""
        if self.baseline is None:
            return self.without_baseline(what)
        return Skipped(
            f"{what} is compared with a model, and the baseline is a lock file",
            "give the model itself with --baseline",
        )

    def _accuracy(self, subject: Subject) -> Accuracy | None:
        settings = self.gates.evaluate
        if settings.labels is None or settings.data is None:
            return None
        self.progress("measure accuracy", 0, None)
        labels = load_labels(settings.labels, data=Path(settings.data))[: settings.samples]
        metric = parse_metric(settings.metric)
        return measure_accuracy(subject.run, self.feeds, labels, metric, output=settings.output)
