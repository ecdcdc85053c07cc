"""How much each channel of a group matters, by its weights, its activations or its gradients.

- Magnitude: Σ|w| or √Σw² over the weights that compute the channel (Li et al. 2017,
  arXiv:1608.08710).
- GeometricMedian: the sum of the distances to the weights of the other channels; what lies near
  the geometric median can be replaced by others (FPGM, He et al. 2019, arXiv:1811.00250).
- NormScale: |γ| of the normalisation behind it (network slimming, Liu et al. 2017,
  arXiv:1708.06519).
- BalancedNorm: L2 norm per weight, brought to 0…1 within each tensor, the mean over tensors: the
  score of AMCT's filter pruner. Tensors whose channels have equal norms vote 0 for all.
- Taylor: Σ|w · ∂loss/∂w|, the first-order change of a loss (Molchanov et al. 2019,
  arXiv:1906.10771).
- ActivationNorm: √(E[x²]) times the norm of the weights that read it, as Wanda scores single
  weights (Sun et al. 2023, arXiv:2306.11695).
- Uninformed: random, to compare with.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Group, Member, Side
from onnxq.errors import PreconditionError
from onnxq.pruning.consumers import Reading
from onnxq.pruning.reduction import Reduction, Scores, reduced
from onnxq.pruning.slices import Array, Read, channel_slices, members_on


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a model.

    Attributes:
        read: Gives the value of a constant.
        norm_scales: Names of the constants that scale normalised channels.
        gradients: Of a loss with respect to constants, by name, summed over samples.
        powers: Mean square of each position of the channel axis, by the name of a tensor.
        readings: Where layers that can be repaired read each group, by its name.
    """

    read: Read
    norm_scales: frozenset[str] = frozenset()
    gradients: Mapping[str, Array] = field(default_factory=dict)
    powers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)


class Criterion(Protocol):
    """Scores channels: the lowest go first."""

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """One score per channel, not negative; None if the evidence says nothing of this group."""
        ...


@dataclass(frozen=True)
class Magnitude:
    """The norm of the weights of a channel.

    Attributes:
        power: 1: sum of magnitudes; 2: Euclidean norm.
        reduction: How several weights become one score.
    """

    power: int = 2
    reduction: Reduction = "mean"

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """Those of the weights that compute the channel."""
        found = [
            np.linalg.norm(slices, ord=self.power, axis=1)
            for slices in _slices(group, Side.OUTPUT, evidence)
        ]
        return reduced(found, self.reduction) if found else None


@dataclass(frozen=True)
class GeometricMedian:
    """The distance to the other channels."""

    reduction: Reduction = "mean"

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """Those of the weights that compute the channel."""
        found = [_distances(slices) for slices in _slices(group, Side.OUTPUT, evidence)]
        return reduced(found, self.reduction) if found else None


@dataclass(frozen=True)
class NormScale:
    """The factor of the normalisation."""

    reduction: Reduction = "mean"

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """None if nothing normalises the channels."""
        scales = (m for m in members_on(group, Side.BESIDE) if m.tensor in evidence.norm_scales)
        found = [np.abs(channel_slices(evidence.read(m.tensor), m)).max(axis=1) for m in scales]
        return reduced(found, self.reduction) if found else None


@dataclass(frozen=True)
class BalancedNorm:
    """L2 norms brought to 0…1 within each tensor."""

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """The mean over the tensors that compute the channel."""
        found = []
        for slices in _slices(group, Side.OUTPUT, evidence):
            norms = np.linalg.norm(slices, axis=1) / slices.shape[1]
            span = float(np.ptp(norms))
            found.append((norms - norms.min()) / (span or 1.0))
        return reduced(found, "sum") / len(found) if found else None


@dataclass(frozen=True)
class Taylor:
    """What a loss changes by, to first order."""

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """The sum over the weights that compute the channel, and those beside them.

        Raises:
            PreconditionError: if there are no gradients at all.
        """
        if not evidence.gradients:
            raise PreconditionError(
                "no gradients to score channels by",
                why="the Taylor criterion needs the gradients of a loss",
                remedy="give gradients by tensor name, or choose another criterion",
            )
        members = [
            m for m in group.members if m.side is not Side.INPUT and m.tensor in evidence.gradients
        ]
        found = [
            np.abs(
                channel_slices(evidence.read(m.tensor), m)
                * channel_slices(evidence.gradients[m.tensor], m)
            ).sum(axis=1)
            for m in members
        ]
        return reduced(found, "sum") if found else None


@dataclass(frozen=True)
class ActivationNorm:
    """The size of what flows on."""

    reduction: Reduction = "mean"

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """Those at the layers that read the channels; None if no such layer was seen."""
        found = [
            _flow(reading.member, evidence, evidence.powers[reading.consumer.input])
            for reading in evidence.readings.get(group.name, ())
            if reading.consumer.input in evidence.powers
        ]
        return reduced(found, self.reduction) if found else None


@dataclass(frozen=True)
class Uninformed:
    """Random scores, each group its own."""

    seed: int = 0

    def scores(self, group: Group, evidence: Evidence) -> Scores | None:
        """Uniform between 0 and 1."""
        del evidence
        own = zlib.crc32(group.name.encode())
        return np.random.default_rng([self.seed, own]).uniform(size=group.size)


def _slices(group: Group, side: Side, evidence: Evidence) -> Iterator[Array]:
    """The weights of the channels, one array per constant; a constant counts once."""
    seen: set[tuple[str, int]] = set()
    for member in members_on(group, side):
        if (member.tensor, member.axis) not in seen:
            seen.add((member.tensor, member.axis))
            yield channel_slices(evidence.read(member.tensor), member)


def _distances(slices: Array) -> Scores:
    """Sum of the distances of each row to all others."""
    squares = np.square(slices).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2.0 * (slices @ slices.T)
    return np.asarray(np.sqrt(np.maximum(apart, 0.0)).sum(axis=1))


def _flow(member: Member, evidence: Evidence, powers: NDArray[np.float64]) -> Scores:
    weight = np.moveaxis(evidence.read(member.tensor), member.axis, 0).astype(np.float64)
    energies = np.square(weight).reshape(len(weight), -1).sum(axis=1) * powers
    return np.asarray(np.sqrt(energies[member.positions].sum(axis=1)))
