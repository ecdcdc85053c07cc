"""What a gate says: a sum type of verdicts, each with its reason, its figures and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from onnxq.config import Severity

if TYPE_CHECKING:
    from onnxq.gates.evidence import Evidence


@dataclass(frozen=True)
class Figure:
    """What was held against a limit.

    Attributes:
        name: What it is.
        value: The figure.
        limit: What it was held against; None if there is no limit.
        unit: `bytes`, `dB`, `share` (of 1), `ratio`, `milliseconds`, or empty for a number.
        baseline: The baseline's figure.
        low: Lower end of its 95 % confidence interval, where there is one.
        high: Upper end of it.
        repeatable: Whether a second run on this machine gives the same figure.
    """

    name: str
    value: float
    limit: float | None = None
    unit: str = ""
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    repeatable: bool = True

    @property
    def excess(self) -> float | None:
        """By how much the figure is away from its limit, in its unit."""
        return None if self.limit is None else abs(self.value - self.limit)


@dataclass(frozen=True)
class Passed:
    """It holds."""

    text: str
    figures: tuple[Figure, ...] = ()
    details: tuple[str, ...] = ()
    status: ClassVar[str] = "passed"
    remedy: ClassVar[str] = ""


@dataclass(frozen=True)
class Failed:
    """It does not hold.

    Attributes:
        text: What, by how much.
        remedy: What to do about it.
        figures: What was measured.
        details: Where, one line each.
    """

    text: str
    remedy: str
    figures: tuple[Figure, ...] = ()
    details: tuple[str, ...] = ()
    status: ClassVar[str] = "failed"


@dataclass(frozen=True)
class Undecided:
    """The measurement does not tell."""

    text: str
    remedy: str
    figures: tuple[Figure, ...] = ()
    details: tuple[str, ...] = ()
    status: ClassVar[str] = "undecided"


@dataclass(frozen=True)
class Skipped:
    """It was not looked at; the text is the reason."""

    text: str
    remedy: str = ""
    status: ClassVar[str] = "skipped"
    figures: ClassVar[tuple[Figure, ...]] = ()
    details: ClassVar[tuple[str, ...]] = ()


Verdict: TypeAlias = Passed | Failed | Undecided | Skipped


@dataclass(frozen=True)
class Finding:
    """What a gate says about one thing it looks at."""

    name: str
    verdict: Verdict


@dataclass(frozen=True)
class Check:
    """A finding with the gate it comes from.

    Attributes:
        gate: Name of the gate, as the configuration has it.
        name: What the gate looked at.
        severity: Whether a failure fails the whole check.
        verdict: What it found.
        seconds: Time since the gate's finding before.
    """

    gate: str
    name: str
    severity: Severity
    verdict: Verdict
    seconds: float = field(default=0.0, compare=False)

    @property
    def title(self) -> str:
        """Gate and name."""
        return f"{self.gate}.{self.name}"

    def fails(self, *, strict: bool) -> bool:
        """Whether it fails the whole check; strict: undecided counts as failed."""
        bad = (Failed, Undecided) if strict else (Failed,)
        return self.severity == "error" and isinstance(self.verdict, bad)


class Gate(Protocol):
    """A frozen value that looks at a model in one respect.

    Attributes:
        name: As the configuration has it.
    """

    name: ClassVar[str]

    @property
    def severity(self) -> Severity:
        """Whether a failure fails the whole check."""
        ...

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """Say what holds and what does not, one after the other."""
        ...
