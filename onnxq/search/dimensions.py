"""What a trial chooses: a list of dimensions, each with what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | float
Values: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Choice:
    """One of several; the first is where the search begins."""

    name: str
    options: tuple[Value, ...]

    @property
    def first(self) -> Value:
        """Where the search begins."""
        return self.options[0]


@dataclass(frozen=True)
class Number:
    """A number between two; the search begins at one of `base`."""

    name: str
    low: float
    high: float
    log: bool
    base: float

    @property
    def first(self) -> Value:
        """Where the search begins."""
        return min(max(self.base, self.low), self.high)


Dimension: TypeAlias = Choice | Number
