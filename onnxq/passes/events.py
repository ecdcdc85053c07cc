"""What a pass reports: each thing done, and each thing refused with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Applied:
    """An edit that was made.

    Attributes:
        node: The node it concerns.
        what: What was done, as a short past-tense clause.
        rule: The rule that did it, where a pass applies several.
    """

    node: str
    what: str
    rule: str = ""


@dataclass(frozen=True)
class Refused:
    """An edit that looked possible and was not made.

    Attributes:
        node: The node it concerns.
        reason: Why not.
        rule: The rule that looked, where a pass applies several.
        needs_opset: The operator set that would allow it; 0 if that is not the reason.
    """

    node: str
    reason: str
    rule: str = ""
    needs_opset: int = 0


Event: TypeAlias = Applied | Refused


@dataclass(frozen=True)
class PassReport:
    """The events of one pass.

    Attributes:
        name: The pass.
        events: What it did and refused, in order.
        seconds: Time it took.
        withdrawn: Why its edits were taken back; empty if they stand.
    """

    name: str
    events: tuple[Event, ...]
    seconds: float
    withdrawn: str = ""

    @property
    def applied(self) -> tuple[Applied, ...]:
        """The edits made."""
        return tuple(e for e in self.events if isinstance(e, Applied))

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The edits refused."""
        return tuple(e for e in self.events if isinstance(e, Refused))
