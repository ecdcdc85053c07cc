"""Gate: multiply-accumulates and bit operations of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import Severity, WorkGate
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import Quantity, bounded
from onnxq.gates.phrases import count_text, listed
from onnxq.gates.verdict import Finding, Undecided

_MACS = Quantity(
    "macs",
    ("macs", "macs-growth"),
    "multiply-accumulates of one run",
    "",
    count_text,
    "compare the layers of both models with `onnxq inspect`, or raise the limit if the growth is "
    "wanted",
)
_BIT_OPERATIONS = Quantity(
    "bit operations",
    ("bit-operations", "bit-operations-growth"),
    "bit operations of one run",
    "",
    count_text,
    "look for layers that were quantized before, or to fewer bits (`onnxq inspect` on both "
    "models), or raise the limit if the growth is wanted",
)


@dataclass(frozen=True)
class WorkCheck:
    """Holds the work of one run against its limits."""

    settings: WorkGate
    name: ClassVar[str] = "work"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At most so much of each, and at most so much growth."""
        reference, settings = evidence.reference, self.settings
        yield from bounded(
            _MACS,
            lambda: evidence.model.cost.macs,
            lambda: None if reference is None else reference.macs,
            most=settings.max_macs,
            growth=settings.max_growth,
            evidence=evidence,
        )
        yield from bounded(
            _BIT_OPERATIONS,
            lambda: evidence.model.bit_operations,
            lambda: None if reference is None else reference.bit_operations,
            most=settings.max_bit_operations,
            growth=settings.max_growth,
            evidence=evidence,
        )
        uncounted = evidence.model.cost.uncounted
        if uncounted:
            text = (
                f"not counted: {listed(f'{u.node} ({u.op_type}: {u.reason})' for u in uncounted)}"
            )
            yield Finding(
                "uncounted", Undecided(text, "give the sizes of free dimensions under `dimensions`")
            )
