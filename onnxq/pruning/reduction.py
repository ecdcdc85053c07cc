"""One score per channel from the scores of all constants that make the channel up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = NDArray[np.float64]
Reduction: TypeAlias = Literal["mean", "max", "sum", "product"]


def reduced(scores: Sequence[Scores], reduction: Reduction) -> Scores:
    """The scores of several members as one.

    The mean and the largest are taken of scores divided by their member's mean, so that members
    of different magnitude count the same; the sum and the product of scores as they are.

    Args:
        scores: One array [channel] per member; at least one.
        reduction: How they become one.
    """
    return _REDUCTIONS[reduction](np.stack(scores))


def _even(stacked: Scores) -> Scores:
    means = stacked.mean(axis=1, keepdims=True)
    return stacked / np.where(means > 0.0, means, 1.0)


def _product(stacked: Scores) -> Scores:
    # By logarithms: the product of many small magnitudes underflows.
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.exp(np.log(np.maximum(stacked, tiny)).mean(axis=0)))


_REDUCTIONS: Mapping[Reduction, Callable[[Scores], Scores]] = {
    "mean": lambda stacked: np.asarray(_even(stacked).mean(axis=0)),
    "max": lambda stacked: np.asarray(_even(stacked).max(axis=0)),
    "sum": lambda stacked: np.asarray(stacked.sum(axis=0)),
    "product": _product,
}
