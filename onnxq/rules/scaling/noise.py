"""What quantization costs the layers of a site, expected from statistics of its channels.

A layer computes y_n = Σ_k w_nk x_k. With x divided by s and w multiplied by it, the noise of y is
expected to be

    Δ(s)²/12 · Σ_nk (s_k w_nk)²  +  Σ_n δ_n(s)²/12 · Σ_k E[x_k²]/s_k²

with Δ the step of the activation (its range over all channels, by the number of codes) and δ_n
that of the weights of output n. It is divided by the power of y, had the channels nothing to do
with each other: Σ_nk w_nk² E[x_k²]. Other tensors of the site that are quantized cost every
layer what its own input would with their step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import ChannelStatistics
from onnxq.rules.scaling.labels import LabelArray
from onnxq.rules.scaling.sites import Site, is_reading
from onnxq.rules.scaling.weights import LayerWeights, weights_of

Array = NDArray[np.float64]

_CODES = 255.0
_WEIGHT_CODES = 127.0


@dataclass(frozen=True, eq=False)
class _Layer:
    """What one layer contributes, by label; the last entry is that of label -1.

    Attributes:
        tensor: The tensor that it reads.
        largest: Largest weights over all taps, float32 [outputs, inputs].
        labels: Which factor each input takes, [1 or outputs, inputs].
        squares: Σ_n w² by label, over the power of y.
        power: taps · E[x²] of each input, over the power of y, as `labels`.
    """

    tensor: str
    largest: NDArray[np.float32]
    labels: LabelArray
    squares: Array
    power: Array


@dataclass(frozen=True, eq=False)
class _Seen:
    """One quantized tensor: extremes and mean square by label; the last entry is label -1."""

    low: Array
    high: Array
    power: Array


class Noise:
    """The expected noise of a site, as a function of its factors.

    Attributes:
        count: How many factors the site has.
        weights: Largest weight that a layer multiplies each channel with, by label.
    """

    def __init__(
        self,
        site: Site,
        statistics: Mapping[str, ChannelStatistics],
        quantized: Collection[str] = (),
        *,
        weight_share: float = 1.0,
    ) -> None:
        """Take the site's statistics and weights in.

        Args:
            site: The site.
            statistics: Of its tensors; tensors without any do not count.
            quantized: Tensors that are quantized besides those that layers read.
            weight_share: How much of the noise of rounding weights to the nearest code is left
                (learned rounding leaves less).
        """
        self.count = site.count
        self._weight_share = weight_share
        read = [weights_of(o) for o in site.operands if is_reading(o)]
        wanted = {weights.tensor for weights in read} | set(quantized)
        self._seen = {
            name: _seen(labels, statistics[name], site.count)
            for name, labels in site.tensors.items()
            if name in wanted and name in statistics
        }
        self._layers = [
            layer
            for weights in read
            if weights.tensor in self._seen
            and (layer := _layer(weights, self._seen[weights.tensor].power)) is not None
        ]
        self._read = {layer.tensor for layer in self._layers}
        self._site = site
        everything = np.zeros(site.count + 1)
        for layer in self._layers:
            np.maximum.at(everything, layer.labels, layer.largest.max(0, keepdims=True))
        self.weights = everything[:-1]

    @property
    def is_known(self) -> bool:
        """Whether there are statistics of a tensor that a layer reads."""
        return bool(self._layers)

    def largest(self, statistics: Mapping[str, ChannelStatistics]) -> Array:
        """Largest absolute value that the site's quantized tensors have, by label.

        Args:
            statistics: Of all samples, or of some.
        """
        found = np.zeros(self.count + 1)
        for name in self._seen.keys() & statistics.keys():
            seen = statistics[name]
            labels = np.broadcast_to(self._site.tensors[name], seen.count.shape)
            np.maximum.at(found, labels, seen.largest)
        return found[:-1]

    def of(self, factors: Array) -> float:
        """Noise over signal, summed over the layers."""
        own = np.append(factors, 1.0)
        squares = own**2
        steps = {name: _step(seen, own) for name, seen in self._seen.items()}
        others = sum(s**2 for name, s in steps.items() if name not in self._read)
        total = 0.0
        for layer in self._layers:
            step = steps[layer.tensor] ** 2 + others / len(self._layers)
            total += step * float(layer.squares @ squares)
            factor = own.astype(np.float32)[layer.labels]
            widest = (layer.largest * factor).max(1).astype(np.float64) / _WEIGHT_CODES
            spread = (layer.power / squares[layer.labels]).sum(1)
            total += self._weight_share * float((widest**2 * spread).sum())
        return total / 12.0


def _step(seen: _Seen, own: Array) -> float:
    return float((seen.high / own).max() - (seen.low / own).min()) / _CODES


def _seen(labels: LabelArray, statistics: ChannelStatistics, count: int) -> _Seen:
    shape = np.broadcast_shapes(labels.shape, statistics.count.shape)
    places = np.broadcast_to(labels, shape)
    low, high, total, number = np.zeros((4, count + 1))
    np.minimum.at(low, places, statistics.minimum)
    np.maximum.at(high, places, statistics.maximum)
    np.add.at(total, places, np.broadcast_to(statistics.power, shape))
    np.add.at(number, places, 1.0)
    return _Seen(low, high, total / np.maximum(number, 1.0))


def _layer(weights: LayerWeights, power: Array) -> _Layer | None:
    """None for a layer that gives zeros only."""
    own = power[weights.labels]
    signal = float((weights.squares * own).sum())
    if signal <= 0.0:
        return None
    squares = np.zeros_like(power)
    np.add.at(squares, np.broadcast_to(weights.labels, weights.squares.shape), weights.squares)
    return _Layer(
        weights.tensor,
        weights.largest.astype(np.float32),
        weights.labels,
        squares / signal,
        own * weights.taps / signal,
    )
