"""Figures held against limits: the two forms that most gates have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnxq.gates.evidence import Evidence
from onnxq.gates.phrases import percent
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Verdict


def above(value: float, limit: float) -> bool:
    """Whether a value is beyond a limit by more than the rounding of decimal fractions."""
    return value > limit and not math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12)


@dataclass(frozen=True)
class Quantity:
    """Something that should stay small.

    Attributes:
        name: What it is, for the figure.
        findings: Names of the finding about its limit, and of that about its growth.
        subject: What it is, at the beginning of a sentence.
        unit: Unit of the figure.
        words: The figure in words.
        remedy: What to do if there is too much of it.
        repeatable: Whether a second run on this machine gives the same figure.
    """

    name: str
    findings: tuple[str, str]
    subject: str
    unit: str
    words: Callable[[float], str]
    remedy: str
    repeatable: bool = True

    def against_most(self, value: float, most: float) -> Verdict:
        """Held against a largest value."""
        figures = (Figure(self.name, value, most, self.unit, repeatable=self.repeatable),)
        text = f"{self.subject}: {self.words(value)}, at most {self.words(most)} allowed"
        if not above(value, most):
            return Passed(text, figures)
        return Failed(f"{text}: {self.words(value - most)} too much", self.remedy, figures)

    def against_growth(self, value: float, before: float, most: float) -> Verdict:
        """Held against a largest growth over the baseline."""
        growth = value / before - 1.0 if before else (math.inf if value else 0.0)
        figures = (
            Figure(f"{self.name} growth", growth, most, "share", 0.0, repeatable=self.repeatable),
            Figure(self.name, value, None, self.unit, before, repeatable=self.repeatable),
        )
        text = (
            f"{self.subject}: {self.words(value)}, {_changed(growth)} the baseline's "
            f"{self.words(before)}; at most {percent(most)} more allowed"
        )
        if not above(growth, most):
            return Passed(text, figures)
        over = self.words(value - before * (1.0 + most))
        return Failed(f"{text}: {over} too much", self.remedy, figures)


def bounded(
    quantity: Quantity,
    value: Callable[[], float],
    before: Callable[[], float | None],
    *,
    most: float | None,
    growth: float | None,
    evidence: Evidence,
) -> Iterator[Finding]:
    """The findings about a quantity, as far as limits are set."""
    plain, growing = quantity.findings
    if most is not None:
        yield Finding(plain, quantity.against_most(value(), most))
    if growth is None:
        return
    known = before()
    if known is None:
        yield Finding(growing, evidence.without_baseline(quantity.name))
        return
    yield Finding(growing, quantity.against_growth(value(), known, growth))


def _changed(growth: float) -> str:
    if growth == 0:
        return "as much as"
    return f"{percent(abs(growth))} {'more' if growth > 0 else 'less'} than"
