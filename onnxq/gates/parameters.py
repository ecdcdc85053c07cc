"""Gate: number of constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import ParametersGate, Severity
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import Quantity, bounded
from onnxq.gates.phrases import count_text
from onnxq.gates.verdict import Finding

_PARAMETERS = Quantity(
    "parameters",
    ("count", "growth"),
    "constants",
    "",
    count_text,
    "compare the layers of both models with `onnxq inspect`, or raise the limit if the growth is "
    "wanted",
)


@dataclass(frozen=True)
class ParametersCheck:
    """Holds the number of constants against its limits."""

    settings: ParametersGate
    name: ClassVar[str] = "parameters"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At most so many, and at most so much growth."""
        reference = evidence.reference
        yield from bounded(
            _PARAMETERS,
            lambda: evidence.model.summary.parameters.total,
            lambda: None if reference is None else reference.parameters,
            most=self.settings.max_count,
            growth=self.settings.max_growth,
            evidence=evidence,
        )
