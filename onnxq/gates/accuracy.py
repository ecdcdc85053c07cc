"""Gate: the metric of `evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import AccuracyGate, Severity
from onnxq.gates.evidence import BaselineLock, Evidence
from onnxq.gates.figures import Score, score_of
from onnxq.gates.limits import above
from onnxq.gates.phrases import percent, points
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Skipped, Undecided, Verdict
from onnxq.measure import accuracy_drop

_WORSE = (
    "compare both models with `onnxq compare --layers`, or see `onnxq sensitivity` for layers that "
    "should stay float; raise the limit only if the loss is wanted"
)


@dataclass(frozen=True)
class AccuracyCheck:
    """Holds the score on labelled samples against its limits."""

    settings: AccuracyGate
    name: ClassVar[str] = "accuracy"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At least so good, and at most so much worse than the baseline."""
        accuracy = evidence.accuracy
        if accuracy is None:
            yield Finding("score", Skipped("there are no labels", "set `evaluate.labels`"))
            return
        score = score_of(accuracy)
        if self.settings.minimum is not None:
            yield Finding("score", _against_worst(score, self.settings.minimum))
        if self.settings.max_drop is not None:
            yield Finding("drop", self._drop(evidence, score, self.settings.max_drop))

    def _drop(self, evidence: Evidence, score: Score, most: float) -> Verdict:
        reference = evidence.reference
        if reference is None:
            return evidence.without_baseline("accuracy")
        before = reference.score
        if before is None:
            return Skipped(
                "the lock file records no accuracy", "write it again with --update-baseline"
            )
        differing = _differing(before, score, evidence)
        if differing:
            return Undecided(
                f"the recorded accuracy cannot be compared: {differing}",
                "write the lock file again with --update-baseline on the baseline's model",
            )
        return _against_drop(evidence, before, score, most)


def _against_worst(score: Score, worst: float) -> Verdict:
    sign = 1.0 if score.higher_is_better else -1.0
    figures = (Figure(score.metric, score.value, worst, _unit(score)),)
    word = "at least" if score.higher_is_better else "at most"
    text = (
        f"{score.metric} is {_value(score, score.value)} on {score.samples:,} samples, "
        f"{word} {_value(score, worst)} asked for"
    )
    if math.isnan(score.value):
        return Failed(f"{text}: it is not a number", _WORSE, figures)
    if not above(sign * worst, sign * score.value):
        return Passed(text, figures)
    return Failed(f"{text}: {_gap(score, abs(worst - score.value))} short", _WORSE, figures)


def _against_drop(evidence: Evidence, before: Score, score: Score, most: float) -> Verdict:
    drop = (before.value - score.value) * (1.0 if score.higher_is_better else -1.0)
    error = _standard_error(evidence)
    low, high = (None, None) if error is None else (drop - _95 * error, drop + _95 * error)
    unit = _unit(score)
    figures = (
        Figure(f"{score.metric} drop", drop, most, unit, 0.0, low, high),
        Figure(score.metric, score.value, None, unit, before.value),
    )
    change = (
        f"{_gap(score, abs(drop))} {'worse' if drop > 0 else 'better'}" if drop else "no change"
    )
    spread = f" (± {_gap(score, _95 * error)} at 95 %)" if error else ""
    text = (
        f"{score.metric} went from {_value(score, before.value)} to {_value(score, score.value)} "
        f"on {score.samples:,} samples: {change}{spread}; at most {_gap(score, most)} allowed"
    )
    if math.isnan(drop):
        return Failed(f"{text}: it is not a number", _WORSE, figures)
    if not above(drop, most):
        return Passed(text, figures)
    return Failed(f"{text}: {_gap(score, drop - most)} too much", _WORSE, figures)


def _standard_error(evidence: Evidence) -> float | None:
    before, after = evidence.rivals_accuracy, evidence.accuracy
    if before is None or after is None:
        return None
    return accuracy_drop(before, after).standard_error


def _differing(before: Score, now: Score, evidence: Evidence) -> str:
    """Why two scores have nothing to do with each other, or nothing."""
    if before.metric != now.metric:
        return f"it is {before.metric}, and now {now.metric} is measured"
    if before.samples != now.samples:
        return f"it was measured on {before.samples:,} samples, and now there are {now.samples:,}"
    recorded = evidence.baseline.data if isinstance(evidence.baseline, BaselineLock) else None
    if recorded is not None and evidence.data_digest not in (None, recorded):
        return "the content of `evaluate.data` has changed since"
    return ""


def _unit(score: Score) -> str:
    return "share" if score.metric.startswith("top-") else ""


def _value(score: Score, value: float) -> str:
    return percent(value) if _unit(score) else f"{value:.5g}"


def _gap(score: Score, value: float) -> str:
    return points(value) if _unit(score) else f"{value:.3g}"


_95 = 1.96
"""Standard errors from the middle to the ends of a normal distribution's 95 % interval."""
