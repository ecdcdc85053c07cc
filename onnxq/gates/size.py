"""Gate: bytes of the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import Severity, SizeGate
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import Quantity, bounded
from onnxq.gates.phrases import bytes_text
from onnxq.gates.verdict import Finding

_SIZE = Quantity(
    "size",
    ("bytes", "growth"),
    "the file",
    "bytes",
    bytes_text,
    "look for weights that were quantized before, and for constants that were folded "
    "(`onnxq inspect` on both models), or raise the limit if the growth is wanted",
)


@dataclass(frozen=True)
class SizeCheck:
    """Holds the size on disk, external data included, against its limits."""

    settings: SizeGate
    name: ClassVar[str] = "size"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At most so many bytes, and at most so much growth."""
        reference = evidence.reference
        yield from bounded(
            _SIZE,
            lambda: evidence.model.size.total,
            lambda: None if reference is None else reference.bytes,
            most=self.settings.max_bytes,
            growth=self.settings.max_growth,
            evidence=evidence,
        )
