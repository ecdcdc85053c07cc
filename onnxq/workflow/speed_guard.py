"""A slower model is no success: rules that cost speed are withdrawn, at worst all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxq.engine import Feed
from onnxq.graph import Model, copy_model
from onnxq.measure import Latency, Speedup
from onnxq.passes import PassReport, RunResult, apply_passes, run
from onnxq.workflow.exact_row import ExactRow, rule_names
from onnxq.workflow.racing import Timer, costly_rules, is_slower, race
from onnxq.workflow.withdrawing import run_row


@dataclass(frozen=True)
class Raced:
    """A result that has raced against the original.

    Attributes:
        outcome: The result; its reports name what was withdrawn.
        latency: Of the original and the result; None if the result is the original again.
    """

    outcome: RunResult
    latency: Latency | None


@dataclass(frozen=True)
class SpeedGuard:
    """Finds a variant of a simplified model that is not slower than the original.

    Attributes:
        original: The model.
        row: The exact passes.
        samples: Inputs on which outputs are compared.
        timer: Times models.
    """

    original: Model
    row: ExactRow
    samples: Sequence[Feed] | None
    timer: Timer

    def keep_fast(self, outcome: RunResult) -> Raced:
        """The outcome of the row, or else the best that is not slower than the original.

        Args:
            outcome: What `run_row` made of the original.
        """
        latency = race(self.original, outcome.model, self.timer)
        if not is_slower(latency):
            return Raced(outcome, latency)
        attempt = self._without_costly(outcome)
        if attempt is not None:
            second = race(self.original, attempt.model, self.timer)
            if not is_slower(second):
                return Raced(attempt, second)
        return self._harmless(latency.speedups[1])

    def _without_costly(self, outcome: RunResult) -> RunResult | None:
        """The row without the rules that cost speed; None if no single one does."""
        earlier = tuple(r for r in outcome.reports if r.withdrawn and r.name in rule_names())
        row = self.row.less(frozenset(report.name for report in earlier))
        count = Counter(event.rule for report in outcome.reports for event in report.applied)
        costly = costly_rules(
            outcome.model,
            [rule for rule, _ in count.most_common() if rule],
            lambda rule: self._built(row.less(frozenset({rule}))),
            self.timer,
        )
        if not costly:
            return None
        attempt = run_row(self.original, row.less(frozenset(costly)), self.samples)
        reports = tuple(
            PassReport(rule, (), 0.0, withdrawn=f"without it the model has {_ratio(gain)}")
            for rule, gain in costly.items()
        )
        return replace(attempt, reports=attempt.reports + earlier + reports)

    def _built(self, row: ExactRow) -> Model:
        model = copy_model(self.original)
        apply_passes(model, row.passes)
        return model

    def _harmless(self, slow: Speedup) -> Raced:
        """What was asked for by name, and nothing else."""
        outcome = run(copy_model(self.original), self.row.harmless, samples=self.samples)
        reason = f"simplified, the model had {_ratio(slow)} of the input"
        report = PassReport("Simplify", (), 0.0, withdrawn=reason)
        changed = any(r.applied for r in outcome.reports if not r.withdrawn)
        outcome = replace(outcome, reports=(*outcome.reports, report))
        latency = race(self.original, outcome.model, self.timer) if changed else None
        return Raced(outcome, latency)


def _ratio(speedup: Speedup) -> str:
    return f"{speedup.value:.2f} times the speed (95 %: {speedup.low:.2f} to {speedup.high:.2f})"
