"""Channels removed one after another, the layer behind them making up for each.

A layer computes Wᵀx. If channels S of x are gone and W is fitted anew by least squares, the mean
squared error of its outputs grows by the least amount

    tr(W_Sᵀ (P_SS)⁻¹ W_S)        with P = Cov(x)⁻¹

and what is left is W - P_:S (P_SS)⁻¹ W_S with the inverse P - P_:S (P_SS)⁻¹ P_S: (optimal brain
surgeon, Hassibi and Stork 1992, with many outputs and many terms at a time). Channels that others
can stand in for thus count little, however large they are. Means do not count: a bias takes them.

Channels go in bundles, those of the least loss by themselves first, so that all is done by
products of matrices: about channels³ operations in total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.pruning.curves import Curve

Float64 = NDArray[np.float64]

BUNDLES = 32
"""In so many steps a whole group is removed."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer that reads the channels of a group.

    Attributes:
        weight: float64 [term, output]; terms are the positions of what it reads.
        covariance: Of its input, float64 [term, term]; not singular (see `certain`).
        terms: The terms of each channel of the group: int64 [channel, k].
    """

    weight: Float64
    covariance: Float64
    terms: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Some channels gone.

    Attributes:
        loss: What that costs.
        weights: The weights that make up for them best, one per layer: float64 [term, output],
            0 where terms are gone.
    """

    loss: float
    weights: tuple[Float64, ...]


def eliminate(
    layers: Sequence[Layer], *, bundles: int = BUNDLES, snapshot_at: float = np.inf
) -> tuple[Curve, Snapshot | None]:
    """The order in which the channels of a group go, and what that costs.

    The loss is the error of each layer's outputs relative to their variance, summed over the
    layers.

    Args:
        layers: Those that read the group's channels; at least one.
        bundles: Number of steps.
        snapshot_at: The loss at which to look at the weights.

    Returns:
        The curve, and the first step with that loss or more, if there is one.
    """
    rests = [_Rest(layer) for layer in layers]
    size = len(layers[0].terms)
    left = np.arange(size)
    order: list[int] = []
    losses = [0.0]
    snapshot: Snapshot | None = None
    step = max(1, -(-size // bundles))
    while len(left):
        scores = np.sum([rest.scores(left) for rest in rests], axis=0)
        going = np.argsort(scores, kind="stable")[:step]
        channels, shares = left[going], scores[going]
        loss = sum(rest.remove(channels) for rest in rests)
        order.extend(channels.tolist())
        losses.extend((losses[-1] + _spread(shares, loss)).tolist())
        left = np.delete(left, going)
        if snapshot is None and losses[-1] >= snapshot_at:
            snapshot = Snapshot(losses[-1], tuple(rest.weight.copy() for rest in rests))
    return Curve(np.array(order, np.int64), np.array(losses)), snapshot


def _spread(shares: Float64, loss: float) -> Float64:
    """The loss of a bundle after each of its channels, by what each costs alone."""
    total = float(shares.sum())
    parts = shares / total if total > 0.0 else np.full(len(shares), 1.0 / len(shares))
    return np.asarray(loss * np.cumsum(parts))


class _Rest:
    """What is left of a layer on the way.

    Attributes:
        weight: Its weight, which makes up for what is gone: float64 [term, output].
    """

    def __init__(self, layer: Layer) -> None:
        self._terms = layer.terms
        self.weight = layer.weight.copy()
        covariance = layer.covariance
        self._inverse = np.linalg.inv(covariance)
        power = float(np.sum(layer.weight * (covariance @ layer.weight)))
        self._scale = 1.0 / power if power > 0.0 else 0.0

    def scores(self, channels: NDArray[np.int64]) -> Float64:
        """The loss of each channel by itself."""
        terms = self._terms[channels]
        if terms.shape[1] == 1:
            alone = terms[:, 0]
            powers = np.square(self.weight[alone]).sum(axis=1)
            return np.asarray(powers / self._inverse[alone, alone] * self._scale)
        blocks = self._inverse[terms[:, :, None], terms[:, None, :]]
        weights = self.weight[terms]
        solved = np.linalg.solve(blocks, weights)
        return np.asarray(np.einsum("cko,cko->c", weights, solved) * self._scale)

    def remove(self, channels: NDArray[np.int64]) -> float:
        """Remove channels together; the loss."""
        gone = self._terms[channels].reshape(-1)
        block = self._inverse[np.ix_(gone, gone)]
        weights = self.weight[gone]
        solved = np.linalg.solve(block, weights)
        loss = float(np.sum(weights * solved)) * self._scale
        columns = self._inverse[:, gone]
        self.weight -= columns @ solved
        self._inverse -= columns @ np.linalg.solve(block, columns.T)
        # Exactly, so that rounding does not bring back what is gone.
        self.weight[gone] = self._inverse[gone] = 0.0
        self._inverse[:, gone] = 0.0
        return max(loss, 0.0)
