"""How many channels a group may keep: multiples that the engine runs fast, and never none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Multiples:
    """A group keeps all its channels or a multiple of some number.

    Attributes:
        multiple: That number.
        most: Largest share of the channels that may go.
    """

    multiple: int = 4
    most: float = 0.9

    def kept(self, size: int) -> tuple[int, ...]:
        """The counts that may be kept, `size` first and falling; never 0.

        A group no larger than the multiple is left whole.
        """
        least = max(1, self.multiple, math.ceil(size * (1.0 - self.most)))
        counts = range((size - 1) // self.multiple * self.multiple, 0, -self.multiple)
        return (size, *(count for count in counts if count >= least))


@dataclass(frozen=True)
class Fixed:
    """A group keeps so many channels, whatever the others give."""

    count: int

    def kept(self, size: int) -> tuple[int, ...]:
        """That count alone."""
        return (min(self.count, size),)


Limits: TypeAlias = Multiples | Fixed


@dataclass(frozen=True)
class Rounded:
    """A group that could not keep exactly what it should.

    Attributes:
        group: Its name.
        size: Its channels.
        wished: How many it would have kept.
        kept: How many it keeps.
        why: The reason.
    """

    group: str
    size: int
    wished: int
    kept: int
    why: str


def nearest_kept(size: int, wished: int, limits: Limits) -> int:
    """The count that may be kept and lies nearest to a wish; of two the larger."""
    return min(limits.kept(size), key=lambda count: (abs(count - wished), -count))
