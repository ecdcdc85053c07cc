"""Gate: share of the multiply-accumulates that the engine runs in integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import IntegersGate, Severity
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import above
from onnxq.gates.phrases import listed, percent, points
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Verdict

_REMEDY = "quantize the layers named, or mend what keeps the engine from fusing them"


@dataclass(frozen=True)
class IntegersCheck:
    """Reads from the engine's optimized graph what runs in integers."""

    settings: IntegersGate
    name: ClassVar[str] = "integers"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At least such a share, and at most so much less than the baseline."""
        share = evidence.model.integer_share
        if self.settings.min_share is not None:
            yield Finding("share", _against_least(evidence, share, self.settings.min_share))
        if self.settings.max_drop is None:
            return
        reference = evidence.reference
        if reference is None:
            yield Finding("drop", evidence.without_baseline("integers"))
            return
        yield Finding(
            "drop", _against_drop(evidence, share, reference.integer_share, self.settings.max_drop)
        )


def _against_least(evidence: Evidence, share: float, least: float) -> Verdict:
    figures = (Figure("integer share", share, least, "share"),)
    text = (
        f"{percent(share)} of the multiply-accumulates run in integers, at least "
        f"{percent(least)} asked for"
    )
    if not above(least, share):
        return Passed(text, figures)
    return Failed(
        f"{text}: {points(least - share)} short; in float: {listed(evidence.model.floating)}",
        _REMEDY,
        figures,
        _reasons(evidence),
    )


def _against_drop(evidence: Evidence, share: float, before: float, most: float) -> Verdict:
    drop = before - share
    figures = (
        Figure("integer share drop", drop, most, "share", 0.0),
        Figure("integer share", share, None, "share", before),
    )
    text = (
        f"{percent(share)} of the multiply-accumulates run in integers, the baseline "
        f"{percent(before)}; at most {points(most)} less allowed"
    )
    if not above(drop, most):
        return Passed(text, figures)
    return Failed(
        f"{text}: {points(drop - most)} too much; in float: {listed(evidence.model.floating)}",
        _REMEDY,
        figures,
        _reasons(evidence),
    )


def _reasons(evidence: Evidence) -> tuple[str, ...]:
    return tuple(f"{name}: {reason}" for name, reason in evidence.model.floating.items())
