"""What each group of channels of a model can spare: its curve of losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Moments
from onnxq.config import Importance, Prune
from onnxq.coupling import Group
from onnxq.engine import Feed
from onnxq.graph import Constant, Model, Node, read, unique_constants
from onnxq.pruning import (
    ActivationNorm,
    BalancedNorm,
    Criterion,
    Curve,
    Evidence,
    GeometricMedian,
    Layer,
    Magnitude,
    NormScale,
    Reading,
    Snapshot,
    Taylor,
    Uninformed,
    certain,
    consumers_of,
    curve_of,
    eliminate,
    readings_of,
)
from onnxq.workflow.channel_moments import collect_channel_moments
from onnxq.workflow.probing_groups import PROBED_LOSS, Probe, divided, measure_gains, with_gains

Array = NDArray[Any]

_NORMS = frozenset(
    {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"}
)

_SEEING = frozenset({"reconstruction", "activation"})
"""Criteria that look at samples."""

_CRITERIA: Mapping[Importance, Callable[[Prune, int], Criterion]] = {
    "activation": lambda settings, _: ActivationNorm(settings.reduction),
    "l1": lambda settings, _: Magnitude(1, settings.reduction),
    "l2": lambda settings, _: Magnitude(2, settings.reduction),
    "fpgm": lambda settings, _: GeometricMedian(settings.reduction),
    "norm-scale": lambda settings, _: NormScale(settings.reduction),
    "balanced-l2": lambda _, __: BalancedNorm(),
    "taylor": lambda _, __: Taylor(),
    "random": lambda _, seed: Uninformed(seed),
}


@dataclass(frozen=True)
class Scored:
    """The groups with their curves.

    Attributes:
        curves: One per group.
        importance: How they were scored.
        otherwise: Groups that had to be scored by their L2 norm, since the criterion says
            nothing of them.
    """

    curves: tuple[Curve, ...]
    importance: Importance
    otherwise: tuple[str, ...]


def score_groups(
    model: Model,
    groups: Sequence[Group],
    settings: Prune,
    feeds: Sequence[Feed],
    *,
    gradients: Mapping[str, Array] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Score the channels of all groups.

    Args:
        model: The model.
        groups: Its groups.
        settings: How.
        feeds: Samples, for the criteria that look at activations; may be empty for others.
        gradients: Of a loss, by the name of the constant, for the Taylor criterion.
        seed: Of the random criterion.
        progress: Called as groups are probed, with those done and to do.

    Raises:
        PreconditionError: if there are no gradients where they are needed.
    """
    importance = settings.importance or ("reconstruction" if feeds else "l2")
    consumers = consumers_of(model)
    readings = {group.name: readings_of(group, consumers) for group in groups}
    needed = {r.consumer.node: r.consumer for found in readings.values() for r in found}
    learning, probing = divided(feeds)
    moments = (
        collect_channel_moments(model, list(needed.values()), learning, len(learning))
        if importance in _SEEING and feeds
        else {}
    )
    constants = unique_constants(model)
    evidence = Evidence(
        read=lambda name: read(constants[name]),
        norm_scales=frozenset(_norm_scales(model.nodes)),
        gradients=gradients or {},
        powers={name: _power(m) for name, m in moments.items()},
        readings=readings,
    )
    scorer = _Scorer(settings, evidence, moments, seed)
    found = [scorer.curve(group, importance) for group in groups]
    curves = tuple(one.curve for one in found)
    probes = {number: one.probe for number, one in enumerate(found) if one.probe is not None}
    if probes and settings.distribution == "guided" and settings.ranking == "local":
        curves = with_gains(curves, measure_gains(model, probes, probing, progress))
    otherwise = tuple(g.name for g, one in zip(groups, found, strict=True) if not one.own)
    return Scored(curves, importance, otherwise)


@dataclass(frozen=True, eq=False)
class _Found:
    """The curve of a group.

    Attributes:
        curve: It.
        own: Whether the criterion asked for told it.
        probe: What to try, to see what losses mean for the outputs.
    """

    curve: Curve
    own: bool
    probe: Probe | None = None


@dataclass(frozen=True)
class _Scorer:
    settings: Prune
    evidence: Evidence
    moments: Mapping[str, Moments]
    seed: int

    def curve(self, group: Group, importance: Importance) -> _Found:
        """The curve of a group."""
        if importance != "reconstruction":
            return self._by_scores(group, importance)
        pairs = [(r, layer) for r in self._readings(group) if (layer := self._layer(r))]
        if not pairs:
            return _Found(self._by_scores(group, "l2").curve, own=False)
        layers = [layer for _, layer in pairs]
        curve, snapshot = eliminate(layers, snapshot_at=PROBED_LOSS)
        probe = None if snapshot is None else self._probe(pairs, snapshot)
        return _Found(curve, own=True, probe=probe)

    def _probe(self, pairs: Sequence[tuple[Reading, Layer]], snapshot: Snapshot) -> Probe:
        weights = []
        for (reading, layer), weight in zip(pairs, snapshot.weights, strict=True):
            seen = self.moments[reading.consumer.input]
            mean = seen.first[0] / max(seen.count, 1)
            lack = reading.consumer.per_output(mean @ (layer.weight - weight))
            weights.append((reading.consumer, weight, lack))
        return Probe(snapshot.loss, weights)

    def _by_scores(self, group: Group, importance: Importance) -> _Found:
        scores = _CRITERIA[importance](self.settings, self.seed).scores(group, self.evidence)
        own = scores is not None
        if scores is None:
            scores = Magnitude(2, self.settings.reduction).scores(group, self.evidence)
        if scores is None:
            scores = np.ones(group.size)
        return _Found(curve_of(scores, relative=self.settings.ranking == "local"), own)

    def _readings(self, group: Group) -> Sequence[Reading]:
        return self.evidence.readings[group.name]

    def _layer(self, reading: Reading) -> Layer | None:
        consumer = reading.consumer
        seen = self.moments.get(consumer.input)
        if seen is None:
            return None
        covariance = certain(seen.centred().second[0] / seen.count, seen.count)
        matrix = consumer.matrix(self.evidence.read(consumer.weight))
        return Layer(matrix, covariance, reading.member.positions)


def _power(moments: Moments) -> NDArray[np.float64]:
    return np.asarray(np.diagonal(moments.second[0]) / max(moments.count, 1))


def _norm_scales(nodes: Sequence[Node]) -> list[str]:
    return [
        node.inputs[1].name
        for node in nodes
        if node.op in _NORMS and len(node.inputs) > 1 and isinstance(node.inputs[1], Constant)
    ]
