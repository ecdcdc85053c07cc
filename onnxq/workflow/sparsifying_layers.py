"""The sparse weights of a model, layer after layer.

Each layer is decided on the inputs that it has once the layers before it are sparse, so that it
makes up for what they became.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Progress, Walk
from onnxq.engine import Feed
from onnxq.graph import Constant, Model, Node, Variable, constant, copy_model, read, set_input
from onnxq.plan import Use
from onnxq.pruning.nm import (
    WEIGHT,
    Magnitude,
    Method,
    Sparse,
    SparseLayer,
    rows_of,
    sparsify_weight,
)
from onnxq.quant import Pattern
from onnxq.workflow.gathering_moments import gather_moments

Array = NDArray[Any]

_LIVE_BYTES = 1 << 30
"""Memory for tensors that wait; with large ones, fewer samples go on."""
_VECTORS_PER_TERM, _FEWEST_VECTORS, _MOST_VECTORS = 8, 4096, 16384
_LARGEST_TERMS = 6000
"""Terms of a sum from which on a layer is decided without samples: time grows with their cube."""


@dataclass(frozen=True, eq=False)
class Sparsified:
    """New weights.

    Attributes:
        weights: By the use that reads each; uses of one constant share the array.
        errors: Squared error of each layer's outputs relative to their square, by node name.
    """

    weights: Mapping[Use, Array] = field(repr=False)
    errors: Mapping[str, float]


def sparsify_layers(
    model: Model,
    layers: Sequence[SparseLayer],
    pattern: Pattern,
    method: Method,
    feeds: Sequence[Feed] = (),
    progress: Progress | None = None,
) -> Sparsified:
    """Decide the sparse weights of some layers.

    Memory: 1 GB at most for the samples on their way, and what `sparsify_weight` takes.

    Args:
        model: The float model; it is not changed.
        layers: Some layers of it, in topological order.
        pattern: N:M.
        method: How weights are chosen.
        feeds: Samples; `Magnitude` needs none.
        progress: Called after each layer with the layers done and to do.
    """
    blind = isinstance(method, Magnitude) and not feeds
    job = _Job(pattern, method, None if blind else _Twin(model, feeds))
    for place, layer in enumerate(layers):
        job.decide(layer)
        if progress is not None:
            progress(place + 1, len(layers))
    return Sparsified(job.weights, job.errors)


@dataclass
class _Job:
    pattern: Pattern
    method: Method
    twin: _Twin | None
    weights: dict[Use, Array] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    _known: dict[tuple[int, object], Sparse] = field(default_factory=dict)

    def decide(self, layer: SparseLayer) -> None:
        """Decide a layer; layers that share a constant follow the first of them."""
        key = (id(layer.weight), layer.layout)
        if key not in self._known:
            moment = None if self.twin is None else self.twin.moment(layer)
            self._known[key] = sparsify_weight(
                read(layer.weight), layer.layout, self.pattern, self.method, moment
            )
        found = self._known[key]
        self.weights[Use(layer.node.name, WEIGHT)] = found.weight
        self.errors[layer.node.name] = found.error
        if self.twin is not None:
            self.twin.store(layer, found.weight)


class _Twin:
    """The model on its way through the samples, its layers made sparse one after another."""

    def __init__(self, model: Model, feeds: Sequence[Feed]) -> None:
        self._model = copy_model(model)
        self._nodes = {node.name: node for node in self._model.nodes}
        self._walk = Walk(self._model, feeds)

    def moment(self, layer: SparseLayer) -> Array | None:
        """Mean of x xᵀ over vectors x that a layer reads: float32 [group, term, term]."""
        node, shape = self._node(layer), layer.shape
        data = node.inputs[0]
        terms = layer.layout.channels(shape) * layer.layout.positions
        if not isinstance(data, Variable) or terms > _LARGEST_TERMS:
            return None
        self._shed()
        moments = gather_moments(
            (value for [value] in self._walk.fetch([data])),
            rows_of(node, shape),
            vectors=min(max(_VECTORS_PER_TERM * terms, _FEWEST_VECTORS), _MOST_VECTORS),
            samples=self._walk.samples,
        )
        return (moments.second / max(moments.count, 1)).astype(np.float32)

    def store(self, layer: SparseLayer, weight: Array) -> None:
        """Give a layer its new weight."""
        node = self._node(layer)
        old = node.inputs[WEIGHT]
        assert isinstance(old, Constant)
        set_input(node, WEIGHT, constant(self._model.new_name(old.name), weight))

    def _node(self, layer: SparseLayer) -> Node:
        return self._nodes[layer.node.name]

    def _shed(self) -> None:
        each = max(self._walk.bytes_per_sample, 1)
        self._walk.keep(max(1, min(self._walk.samples, _LIVE_BYTES // each)))
