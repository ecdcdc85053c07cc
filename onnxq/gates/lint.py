"""Gate: would other engines take the model, and run it in integers?

What is known of them stands in their target profiles, so a finding here is as good as the profile:
1. Q/DQ needs an operator set; operators of other domains are unknown to other engines.
2. Codes must have the profile's form: bits; signed and zero point in the middle where the profile
   is symmetric; one scale per tensor where the rule of the operator says so; bias in float or not.
3. An operator runs in integers if it has a rule, meets it, reads dequantized data and weights, and
   is quantized behind where the rule requires it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import LintGate, Severity
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import above
from onnxq.gates.linting import Lint, lint
from onnxq.gates.phrases import listed, percent, plural, points
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Verdict
from onnxq.targets import load_target


@dataclass(frozen=True)
class LintCheck:
    """Holds the model against the profile of each target."""

    settings: LintGate
    name: ClassVar[str] = "lint"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """For each target: is it taken, and how much of it runs in integers."""
        for name in self.settings.targets:
            target = load_target(name)
            found = lint(evidence.model, target)
            yield Finding(f"{target.name}-takes", _takes(target.name, found))
            if self.settings.min_share is not None:
                verdict = _accelerates(target.name, found, self.settings.min_share)
                yield Finding(f"{target.name}-accelerates", verdict)


def _takes(target: str, found: Lint) -> Verdict:
    figure = Figure("faults", len(found.faults), 0)
    if not found.faults:
        return Passed(f"{target} takes it, as far as its profile tells", (figure,))
    return Failed(
        f"{target} would not take it as it is meant: {plural(len(found.faults), 'fault')}, none "
        f"allowed: {listed(found.faults, 3)}",
        f"quantize the float model with `onnxq quantize --target {target}`",
        (figure,),
        found.faults,
    )


def _accelerates(target: str, found: Lint, least: float) -> Verdict:
    figure = Figure("integer share", found.share, least, "share")
    text = (
        f"{target} runs {percent(found.share)} of the multiply-accumulates in integers, at least "
        f"{percent(least)} asked for"
    )
    if not above(least, found.share):
        return Passed(text, (figure,))
    return Failed(
        f"{text}: {points(least - found.share)} short; in float: {listed(found.floating)}",
        f"quantize the float model with `onnxq quantize --target {target}`",
        (figure,),
        tuple(f"{name}: {reason}" for name, reason in found.floating.items()),
    )
