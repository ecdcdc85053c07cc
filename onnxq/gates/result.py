"""What `onnxq check` found: a plain value that every report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from onnxq.gates.context import Context
from onnxq.gates.figures import Figures
from onnxq.gates.verdict import Check, Failed, Figure, Passed, Skipped, Undecided
from onnxq.measure import Work, reported_metrics

VERSION = 1
"""Of the JSON's form, which docs/schemas/check-1.json describes."""

Outcome: TypeAlias = Literal["passed", "failed"]


@dataclass(frozen=True)
class CheckResult:
    """All findings about a model.

    Attributes:
        model: Its file.
        baseline: The model or lock file it was compared with; None without one.
        checks: The findings, in the order they were made.
        figures: The model in figures; None if the engine refuses it.
        reference: The baseline in figures.
        context: Machine, versions, digests.
        strict: Whether undecided counts as failed.
        seconds: Time by gate.
    """

    model: str
    baseline: str | None
    checks: tuple[Check, ...]
    figures: Figures | None
    reference: Figures | None
    context: Context
    strict: bool
    seconds: Mapping[str, float] = field(compare=False)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The findings for which the check as a whole fails."""
        return tuple(check for check in self.checks if check.fails(strict=self.strict))

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Failed gates of severity `warning`, and what is undecided without failing."""
        return tuple(
            check
            for check in self.checks
            if isinstance(check.verdict, Failed | Undecided) and check not in self.failures
        )

    @property
    def success(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def outcome(self) -> Outcome:
        """The same in a word."""
        return "passed" if self.success else "failed"

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of findings by verdict."""
        kinds = (Passed, Failed, Undecided, Skipped)
        return {k.status: sum(isinstance(c.verdict, k) for c in self.checks) for k in kinds}

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values.

        Two runs on one machine give the same but for `seconds`, and findings whose figures are
        not `repeatable` (latency and memory).
        """
        return {
            "version": VERSION,
            "model": self.model,
            "baseline": self.baseline,
            "outcome": self.outcome,
            "strict": self.strict,
            "counts": dict(self.counts),
            "checks": [_check(check, strict=self.strict) for check in self.checks],
            "figures": None if self.figures is None else self.figures.to_dict(),
            "baseline_figures": None if self.reference is None else self.reference.to_dict(),
            "metrics": None if self.figures is None else _metrics(self.figures, self.reference),
            "context": self.context.to_dict(),
            "seconds": dict(self.seconds),
        }


def _metrics(figures: Figures, reference: Figures | None) -> dict[str, Any]:
    """The metrics by the names that other reports have; those of one run are not repeatable."""
    known = {} if figures.score is None else {"acc_validation": figures.score.value}
    return {
        **reported_metrics(
            sizes=(None if reference is None else reference.bytes, figures.bytes),
            work=(None if reference is None else _work(reference), _work(figures)),
        ),
        **known,
    }


def _work(figures: Figures) -> Work:
    return Work(figures.macs, figures.bit_operations)


def _check(check: Check, *, strict: bool) -> dict[str, Any]:
    verdict = check.verdict
    return {
        "gate": check.gate,
        "name": check.name,
        "severity": check.severity,
        "verdict": verdict.status,
        "fails": check.fails(strict=strict),
        "text": verdict.text,
        "remedy": verdict.remedy,
        "figures": [_figure(figure) for figure in verdict.figures],
        "details": list(verdict.details),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "value": figure.value,
        "limit": figure.limit,
        "excess": figure.excess,
        "unit": figure.unit,
        "baseline": figure.baseline,
        "low": figure.low,
        "high": figure.high,
        "repeatable": figure.repeatable,
    }
