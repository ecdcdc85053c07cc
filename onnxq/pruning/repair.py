"""Least squares: what a layer's weight must become when it reads fewer, and changed, channels.

Before, a layer read x (all channels); now it reads y (those that are left, as the pruned network
computes them). The best linear guess of x from y is A y + b with

    A = Cov(x, y) (Cov(y) + λI)⁻¹,        b = E[x] - A E[y]

and the weight W becomes Aᵀ W, the bias gains Wᵀ b. For matrix products and 1x1 convolutions that
is the least-squares weight itself; a larger kernel uses the same guess at each of its positions.
(Channel reconstruction: He, Zhang, Sun 2017, arXiv:1707.06168, section 3.1, in closed form.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import DataError

Array = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Sums over the vectors x that a layer read before and y that it reads now.

    Attributes:
        count: Vectors seen.
        before: Σ x, float64 [terms before].
        now: Σ y, float64 [terms now].
        cross: Σ x yᵀ, float64 [terms before, terms now].
        second: Σ y yᵀ, float64 [terms now, terms now].
    """

    count: int
    before: Float64
    now: Float64
    cross: Float64
    second: Float64

    @classmethod
    def of(cls, before: Array, now: Array) -> PairMoments:
        """Those of one sample: float [vector, terms before] and [vector, terms now]."""
        return cls(
            len(before),
            before.sum(axis=0, dtype=np.float64),
            now.sum(axis=0, dtype=np.float64),
            (before.T @ now).astype(np.float64),
            (now.T @ now).astype(np.float64),
        )

    def merge(self, later: PairMoments) -> PairMoments:
        """Those of both."""
        return PairMoments(
            self.count + later.count,
            self.before + later.before,
            self.now + later.now,
            self.cross + later.cross,
            self.second + later.second,
        )


def best_guess(moments: PairMoments, kept: NDArray[np.int64], ridge: float) -> Float64:
    """A, the matrix that tells the channels before from those now: [terms before, terms now].

    Both covariances are drawn towards what they are if channels tell nothing of each other and
    those that are left stayed as they were: the less was seen, the more. So with little evidence
    the weights stay what they were.

    Args:
        moments: What was seen.
        kept: Which term before each term now is: int64 [terms now].
        ridge: Least share by which they are drawn there.

    Raises:
        DataError: if nothing was seen.
    """
    if not moments.count:
        raise DataError("nothing to repair weights with", remedy="give at least one sample")
    mean_x, mean_y = moments.before / moments.count, moments.now / moments.count
    cross = moments.cross / moments.count - np.outer(mean_x, mean_y)
    second = moments.second / moments.count - np.outer(mean_y, mean_y)
    share = max(ridge, doubt(moments.count, len(second)))
    variances = _positive(np.diagonal(second))
    unchanged = np.zeros_like(cross)
    unchanged[kept, np.arange(len(kept))] = variances
    cross = (1.0 - share) * cross + share * unchanged
    second = (1.0 - share) * second + share * np.diag(variances)
    return np.asarray(np.linalg.solve(second, cross.T).T)


def certain(covariance: Float64, count: int) -> Float64:
    """A covariance drawn towards its diagonal, the more so the fewer vectors it was found from."""
    share = max(_LEAST_DOUBT, doubt(count, len(covariance)))
    return (1.0 - share) * covariance + share * np.diag(_positive(np.diagonal(covariance)))


def doubt(count: int, terms: int) -> float:
    """The share of a covariance that is chance: terms / (terms + vectors).

    As many vectors as terms leave its small eigenvalues to chance (Marchenko and Pastur 1967);
    drawing it to its diagonal is the remedy of Ledoit and Wolf (2004), with a simpler share.
    """
    return terms / (terms + count)


_LEAST_DOUBT = 1e-3


def _positive(variances: Float64) -> Float64:
    """Variances with a trace of their mean added: silent channels divide nothing by zero."""
    return variances + (1e-6 * float(variances.mean()) or 1.0)
