"""Factors for sites: the best of two families, by the noise that they are expected to leave.

1. s = max|x|^α / max|w|^(1-α) (SmoothQuant: Xiao et al. 2022, eq. 4). At α = 1 all channels reach
   equally far; α = 1/2 is cross-layer equalization, seen from the activations.
2. s = max(1, max|x|/τ): only channels that reach beyond τ are divided. Where one channel of
   a thousand sticks out, this leaves the weights of all others as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxq.calibration import ChannelStatistics, merge_channels
from onnxq.rules.scaling.noise import Array, Noise
from onnxq.rules.scaling.sites import Site

ALPHAS = tuple(i / 10 for i in range(11))
THRESHOLDS = tuple(2.0 ** (-i / 2) for i in range(1, 15))

_SPREAD = 10.0
"""Factors lie within 2^±10: about a thousandth to a thousand."""


@dataclass(frozen=True)
class Search:
    """How factors are looked for.

    Attributes:
        alphas: Exponents of the first family.
        thresholds: Thresholds of the second, as shares of the largest value.
        power_of_two: Round factors to powers of two: results then stay the same to the last
            bit, but factors fit channels less well.
        least_gain: In dB; a site that is expected to gain less is left alone.
        weight_share: How much of the noise of rounding weights to the nearest code is left
            (learned rounding leaves less, so activations may get more).
    """

    alphas: Sequence[float] = ALPHAS
    thresholds: Sequence[float] = THRESHOLDS
    power_of_two: bool = False
    least_gain: float = 1.0
    weight_share: float = 1.0


@dataclass(frozen=True, eq=False)
class Chosen:
    """Factors for one site, and what they are expected to bring.

    Attributes:
        factors: What channels are divided by, float64, all positive.
        before: Expected noise over signal of the site's layers, without.
        after: The same with such factors, on samples that did not make them.
    """

    factors: Array
    before: float
    after: float

    @property
    def gain(self) -> float:
        """How much less noise is expected, in dB."""
        return float(10 * np.log10(self.before / self.after))


def choose_factors(
    sites: Sequence[Site],
    folds: Sequence[Mapping[str, ChannelStatistics]],
    quantized: Collection[str] = (),
    search: Search | None = None,
) -> dict[str, Chosen]:
    """Factors for every site that gains by them, by the site's name.

    With several folds, a member of a family is judged by factors made from one fold and noise
    expected over all: channels whose extremes differ from sample to sample do not gain.

    Args:
        sites: The sites.
        folds: Statistics of the tensors that `channel_axes` names, each over a part of the
            samples; sites without are left out.
        quantized: Tensors that are quantized besides those that layers read, by name.
        search: How factors are looked for.
    """
    search = search or Search()
    everything = merge_channels(folds)
    found: dict[str, Chosen] = {}
    for site in sites:
        noise = Noise(site, everything, quantized, weight_share=search.weight_share)
        chosen = _choose(noise, everything, folds, search) if noise.is_known else None
        if chosen is not None and chosen.gain >= search.least_gain:
            found[site.name] = chosen
    return found


def _choose(
    noise: Noise,
    everything: Mapping[str, ChannelStatistics],
    folds: Sequence[Mapping[str, ChannelStatistics]],
    search: Search,
) -> Chosen | None:
    """The best member of the families; None where nothing can be scaled or is lost."""
    before = noise.of(np.ones(noise.count))
    members = list(_members(noise.largest(everything), noise.weights, search))
    scores = np.zeros(len(members))
    for fold in folds:
        tried = _members(noise.largest(fold), noise.weights, search)
        scores += [noise.of(factors) / len(folds) for factors in tried]
    if not members or before <= 0.0:
        return None
    best = int(scores.argmin())
    return Chosen(members[best], before, float(scores[best]))


def _members(x: Array, w: Array, search: Search) -> Iterator[Array]:
    """Factors of each member of the families; those of dead channels are 1.

    Args:
        x: Largest absolute value of each channel.
        w: Largest weight that it is multiplied with.
        search: The families.
    """
    usable = (x > 0.0) & (w > 0.0)
    high, wide = (np.log2(np.where(usable, sizes, 1.0)) for sizes in (x, w))
    families = [alpha * high - (1.0 - alpha) * wide for alpha in search.alphas]
    families = [logs - np.median(logs[usable]) if usable.any() else logs for logs in families]
    top = high.max(where=usable, initial=-np.inf)
    families += [np.maximum(high - top - np.log2(t), 0.0) for t in search.thresholds]
    offsets = (0.0, 0.25, 0.5, 0.75) if search.power_of_two else (0.0,)
    for logs in families:
        for offset in offsets:
            limited = np.clip(logs + offset, -_SPREAD, _SPREAD)
            rounded = np.rint(limited) if search.power_of_two else limited
            yield np.where(usable, 2.0**rounded, 1.0)
