"""Second moments of what layers multiply their weights by, over samples, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the input vectors x of a layer, for every group of it.

    Two of them add up; the order in which samples arrive changes nothing but float64 rounding.
    Memory: 8 · groups · terms² bytes, and as much again while a sample is added.

    Attributes:
        count: Vectors seen, per group.
        first: Σ x, float64 [group, term].
        second: Σ x xᵀ, float64 [group, term, term].
    """

    count: int
    first: Float64
    second: Float64

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Moments:
        """Those of one sample: float32 [group, vector, term].

        Products are summed in float32 within the sample and in float64 over samples.
        """
        second = (rows.swapaxes(1, 2) @ rows).astype(np.float64)
        return cls(rows.shape[1], rows.sum(axis=1, dtype=np.float64), second)

    def merge(self, later: Moments) -> Moments:
        """Those of the samples of both. The arrays of this one are used up.

        Raises:
            UsageError: They are of different layers.
        """
        if self.second.shape != later.second.shape:
            raise UsageError(
                "moments of different inputs cannot be merged",
                why=f"{self.second.shape} and {later.second.shape}",
                remedy="collect the same tensors everywhere",
            )
        first = np.add(self.first, later.first, out=self.first)
        second = np.add(self.second, later.second, out=self.second)
        return Moments(self.count + later.count, first, second)

    def centred(self) -> Moments:
        """The same about the mean: what counts where a bias takes up the mean error."""
        mean = self.first / max(self.count, 1)
        second = self.second - mean[:, :, np.newaxis] * self.first[:, np.newaxis]
        return Moments(self.count, np.zeros_like(self.first), second)
