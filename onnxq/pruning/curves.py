"""What removing channels costs: in which order they go, and the loss after each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Curve:
    """The cost of removing channels of one group.

    Attributes:
        order: Channel numbers, the one that goes first in front: int64 [channels].
        loss: Loss after the first k channels are gone, not falling: float64 [channels + 1].
    """

    order: NDArray[np.int64]
    loss: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(self.order)

    def removed(self, count: int) -> list[int]:
        """The numbers of the first channels to go, sorted."""
        return sorted(self.order[:count].tolist())

    def scaled(self, factor: float) -> Curve:
        """The same order with every loss multiplied."""
        return Curve(self.order, self.loss * factor)


def curve_of(scores: NDArray[np.float64], *, relative: bool) -> Curve:
    """The least important channels go first; each costs the square of its score.

    Scores are magnitudes, and the power that a channel carries grows with their square.

    Args:
        scores: One per channel, not negative.
        relative: Divide by the sum over the group, so that losses of different groups compare
            as shares; else scores compare across groups as they are.
    """
    order = np.argsort(scores, kind="stable")
    powers = np.square(scores[order])
    total = float(powers.sum())
    if relative:
        # Scores that are all 0 tell nothing, and each channel counts the same.
        powers = powers / total if total > 0.0 else np.full(len(powers), 1.0 / len(powers))
    loss = np.concatenate([np.zeros(1), np.cumsum(powers)])
    return Curve(order.astype(np.int64), loss)
