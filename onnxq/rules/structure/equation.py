"""Einsum equations, read as labels per axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters


@dataclass(frozen=True)
class Equation:
    """One label for each axis of each operand, and of the result."""

    operands: tuple[str, ...]
    result: str


def parse(text: str, ranks: Sequence[int]) -> Equation | None:
    """Read an equation for operands of these ranks.

    An ellipsis becomes labels that the equation does not use. None if the equation does not fit
    the ranks, or if a label stands twice in one term.
    """
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return None
    hidden = {
        rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True) if "." in t
    }
    if len(hidden) > 1 or any(size < 0 for size in hidden):
        return None
    free = [letter for letter in ascii_letters if letter not in text]
    between = "".join(free[: max(hidden, default=0)])
    operands = tuple(term.replace("...", between) for term in terms)
    if not arrow:
        right = "..." * bool(hidden) + _implied(left)
    result = right.replace("...", between)
    if any(len(labels) != rank for labels, rank in zip(operands, ranks, strict=True)):
        return None
    if any(max(Counter(labels).values(), default=0) > 1 for labels in (*operands, result)):
        return None
    return Equation(operands, result) if set(result) <= set("".join(operands)) else None


def _implied(left: str) -> str:
    """The labels of the result where none are given: those that stand once, sorted."""
    counted = Counter(label for label in left if label not in ",.")
    return "".join(sorted(label for label, times in counted.items() if times == 1))
