"""Gate: resident memory that loading and running the model adds, at its peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import MemoryGate, Severity
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import Quantity, bounded
from onnxq.gates.phrases import bytes_text
from onnxq.gates.resident import peak_memory
from onnxq.gates.subject import Subject
from onnxq.gates.verdict import Finding, Skipped

_MEMORY = Quantity(
    "memory",
    ("peak", "growth"),
    "peak memory of loading and one run",
    "bytes",
    bytes_text,
    "look for larger weights and intermediate tensors (`onnxq inspect` on both models), or raise "
    "the limit if the growth is wanted",
    repeatable=False,
)


@dataclass(frozen=True)
class MemoryCheck:
    """Loads and runs models in processes of their own, and asks the system for the peak."""

    settings: MemoryGate
    name: ClassVar[str] = "memory"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At most so many bytes, and at most so much growth."""
        rival, settings = evidence.rival, self.settings
        if settings.max_growth is not None and rival is None:
            yield Finding("growth", evidence.without_model("memory"))
        growth = None if rival is None else settings.max_growth
        if settings.max_bytes is None and growth is None:
            return
        peak = self._peak(evidence, evidence.model)
        if peak is None:
            yield Finding("peak", Skipped("this system does not tell a process's peak memory"))
            return
        before = None if rival is None or growth is None else self._peak(evidence, rival)
        yield from bounded(
            _MEMORY,
            lambda: peak,
            lambda: before,
            most=settings.max_bytes,
            growth=growth,
            evidence=evidence,
        )

    def _peak(self, evidence: Evidence, subject: Subject) -> int | None:
        evidence.progress("measure memory", 0, None)
        return peak_memory(subject.path, evidence.few[0], threads=evidence.gates.threads)
