"""Repair of a pruned model from sample inputs, without training.

Layers are repaired one after another: each learns to compute, from what the pruned and already
repaired layers before it give it, what it computed in the original model (see
`onnxq.pruning.repair`). Then its bias takes up what its outputs still lack in the mean. The same
is done for layers that lost no channel themselves but stand behind others that did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Progress, Walk
from onnxq.coupling import Group
from onnxq.engine import Feed
from onnxq.graph import Constant, Model, Node, Variable, constant, read, set_input
from onnxq.pruning import Consumer, PairMoments, best_guess, consumer_of
from onnxq.workflow.channel_moments import LARGEST_AXIS, channel_vectors, vectors_wanted
from onnxq.workflow.layer_biases import bias_of

Array = NDArray[Any]

RIDGE = 1e-3
"""How firmly weights stay what they were: a share of the mean variance of what a layer reads."""

_LIVE_BYTES = 1 << 30
"""Memory for tensors that wait; with large ones, fewer samples go on."""


@dataclass(frozen=True)
class Kept:
    """Which positions of the original constants are left.

    Attributes:
        positions: By constant and axis; what is missing is whole.
    """

    positions: Mapping[tuple[str, int], NDArray[np.int64]]

    def cut(self, name: str, value: Array, *, whole: int | None = None) -> Array:
        """An original constant without the positions that are gone, the axis `whole` untouched."""
        for axis in range(value.ndim):
            left = self.positions.get((name, axis))
            if left is not None and axis != whole:
                value = np.take(value, left, axis=axis)
        return value

    def along(self, name: str, axis: int, length: int) -> NDArray[np.int64]:
        """The positions of an axis that are left."""
        return self.positions.get((name, axis), np.arange(length))


def kept_of(model: Model, groups: Sequence[Group], removed: Mapping[str, Sequence[int]]) -> Kept:
    """What is left of the constants of a model without some channels of its groups."""
    sizes = {c.name: tuple(c.stored.shape) for c in model.constants}
    found: dict[tuple[str, int], NDArray[np.int64]] = {}
    for group in groups:
        gone = removed.get(group.name, ())
        for member in group.members if gone else ():
            site = member.tensor, member.axis
            left = found.get(site, np.arange(sizes[member.tensor][member.axis]))
            found[site] = np.setdiff1d(left, member.positions[list(gone)])
    return Kept(found)


def repair_layers(
    original: Model,
    pruned: Model,
    kept: Kept,
    feeds: Sequence[Feed],
    *,
    ridge: float = RIDGE,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Fit the weights and biases of a pruned model anew, in place.

    Args:
        original: The model before channels were removed.
        pruned: The same without them, with nodes of the same names.
        kept: What is left of the original's constants.
        feeds: Samples.
        ridge: How firmly weights stay what they were.
        progress: Called after each layer with the layers done and to do.

    Returns:
        The names of the layers that changed.

    Raises:
        ModelError: if the engine does not run a piece of a model.
    """
    repair = _Repair(original, pruned, kept, feeds, ridge)
    layers = repair.layers()
    for place, layer in enumerate(layers):
        repair.fit(layer)
        if progress is not None:
            progress(place + 1, len(layers))
    return tuple(layer.node.name for layer in layers)


@dataclass(frozen=True)
class _Layer:
    consumer: Consumer
    node: Node
    twin: Node

    @property
    def weight(self) -> Array:
        tensor = self.node.inputs[1]
        assert isinstance(tensor, Constant)
        return read(tensor)

    @property
    def output_axis(self) -> int:
        """Axis of its output that counts the channels."""
        return 1 if self.node.op.startswith("Conv") else -1


class _Repair:
    """Both models on their way."""

    def __init__(
        self, original: Model, pruned: Model, kept: Kept, feeds: Sequence[Feed], ridge: float
    ) -> None:
        self._pruned, self._kept, self._ridge = pruned, kept, ridge
        self._nodes = original.nodes
        self._twins = {node.name: node for node in pruned.nodes}
        self._before, self._now = Walk(original, feeds), Walk(pruned, feeds)

    def layers(self) -> list[_Layer]:
        """The layers that can be repaired, from the first that reads anything changed."""
        found = []
        for node in self._nodes:
            consumer, twin = consumer_of(node), self._twins.get(node.name)
            if consumer is None or twin is None or consumer_of(twin) is None:
                continue
            if consumer.channels <= LARGEST_AXIS:
                found.append(_Layer(consumer, node, twin))
        touched = {name for name, _ in self._kept.positions}
        first = next((i for i, x in enumerate(found) if x.consumer.weight in touched), len(found))
        return found[first:]

    def fit(self, layer: _Layer) -> None:
        """Fit one layer."""
        moments = self._moments(layer)
        if moments is None:
            return
        consumer, whole = layer.consumer, layer.weight
        left = self._kept.along(consumer.weight, consumer.axis, consumer.channels)
        guess = best_guess(moments, left, self._ridge)
        cut = self._kept.cut(consumer.weight, whole, whole=consumer.axis)
        weight = consumer.weight_of(guess.T @ consumer.matrix(cut), cut)
        set_input(
            layer.twin, 1, constant(self._pruned.new_name(f"{consumer.weight}_fitted"), weight)
        )
        bias = bias_of(layer.twin, weight.dtype, self._pruned)
        if bias is not None:
            bias.add(self._shift(layer))

    def _moments(self, layer: _Layer) -> PairMoments | None:
        """What the layer read and reads; None if the two do not go together."""
        self._shed()
        consumer = layer.consumer
        most = -(-vectors_wanted(consumer.channels) // self._now.samples)
        found: PairMoments | None = None
        fits = True
        for before, now in zip(
            _fetched(self._before, layer.node), _fetched(self._now, layer.twin), strict=True
        ):
            x = channel_vectors(before, consumer.input_axis, most)
            y = channel_vectors(now, consumer.input_axis, most)
            fits = fits and len(x) == len(y) and x.shape[1] == consumer.channels
            if fits:
                moments = PairMoments.of(x, y)
                found = moments if found is None else found.merge(moments)
        return found if fits else None

    def _shift(self, layer: _Layer) -> Array:
        """What the layer's outputs lack in the mean, per channel that is left."""
        right, now = layer.node.outputs[0], layer.twin.outputs[0]
        assert isinstance(right, Variable)
        assert isinstance(now, Variable)
        weight, outputs = layer.consumer.weight, _output_axis_of_weight(layer)
        left = self._kept.along(weight, outputs, layer.weight.shape[outputs])
        lacks = [
            _channel_means(a, layer.output_axis)[left] - _channel_means(b, layer.output_axis)
            for a, b in zip(self._before.peek(right), self._now.peek(now), strict=True)
        ]
        return np.asarray(np.mean(lacks, axis=0))

    def _shed(self) -> None:
        each = self._before.bytes_per_sample + self._now.bytes_per_sample
        samples = max(1, min(self._now.samples, _LIVE_BYTES // max(each, 1)))
        self._before.keep(samples)
        self._now.keep(samples)


def _fetched(walk: Walk, node: Node) -> Iterator[Array]:
    tensor = node.inputs[0]
    assert isinstance(tensor, Variable)
    return (value for [value] in walk.fetch([tensor]))


def _output_axis_of_weight(layer: _Layer) -> int:
    return 1 - layer.consumer.axis


def _channel_means(array: Array, axis: int) -> Array:
    others = tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    return np.asarray(array.mean(axis=others, dtype=np.float64))
