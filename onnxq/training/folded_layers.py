"""Which batch normalisations a prepared model holds inside its linear layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, copy_model, only_reader, producer, read, reads
from onnxq.passes import (
    FreezeDefaults,
    InlineFunctions,
    LowerConstants,
    Pass,
    RemoveIdentities,
    apply_passes,
)

_CLOSE = 1e-3
"""Largest difference of what was folded to what should be, as a share of the largest weight."""

Array = NDArray[Any]


def plain_copy(model: Model) -> Model:
    """A copy whose nodes have names and whose weights are constants that the nodes read."""
    twin = copy_model(model)
    twin.keep_node_names()
    # Exporters let equal parameters be one, which others read through Identity.
    passes: list[Pass] = [InlineFunctions(), FreezeDefaults(), LowerConstants(), RemoveIdentities()]
    apply_passes(twin, passes)
    return twin


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A linear layer, and the batch normalisation that was folded into it.

    Attributes:
        node: The layer's name, in the original model and in the prepared one.
        norm: The normalisation's name in the original model.
        axis: The axis of the weight along which its output channels lie.
        weight: float32, before folding.
        bias: float32 [channels] before folding; zeros without one.
        scale: γ, float32 [channels].
        shift: β, likewise.
        mean: Running mean, likewise.
        variance: Running variance, likewise.
        epsilon: Added to the variance.
        momentum: Share of the old value that running statistics keep (ONNX's meaning).
    """

    node: str
    norm: str
    axis: int
    weight: Array
    bias: Array
    scale: Array
    shift: Array
    mean: Array
    variance: Array
    epsilon: float
    momentum: float


@dataclass(frozen=True, eq=False)
class FoundLayers:
    """What became of the batch normalisations of a model.

    Attributes:
        layers: The layers that hold one, by name.
        others: Why one is in no layer, by the name of the normalisation.
    """

    layers: Mapping[str, FoldedLayer]
    others: Mapping[str, str]


def folded_layers(original: Model, prepared: Model) -> dict[str, FoldedLayer]:
    """The layers that `find_layers` finds, by name."""
    return dict(find_layers(original, prepared).layers)


def find_layers(original: Model, prepared: Model) -> FoundLayers:
    """The layers of the prepared model whose weights hold a batch normalisation of the original.

    A layer is one of them if it has its name, and the weight and bias that folding gives.

    Args:
        original: The model with its batch normalisations; all nodes have names, and all weights
            are initializers.
        prepared: The same after the exact passes.
    """
    nodes = {node.name: node for node in prepared.nodes}
    uses = Counter(t.name for node in prepared.nodes for t in reads(node))
    layers: dict[str, FoldedLayer] = {}
    others: dict[str, str] = {}
    for norm in original.nodes:
        if norm.op != "BatchNormalization":
            continue
        found = _before(original, norm)
        if isinstance(found, FoldedLayer):
            found = _lost(found, nodes, uses) or found
        if isinstance(found, FoldedLayer):
            layers[found.node] = found
        else:
            others[norm.name] = found
    return FoundLayers(layers, others)


def _before(model: Model, norm: Node) -> FoldedLayer | str:
    """The layer before a batch normalisation, or why it cannot be folded into one."""
    data, *rest = norm.inputs
    linear = producer(data)
    if linear is None:
        return "no layer is before it"
    axis = _channel_axis(linear)
    if axis is None:
        return f"'{linear.name}' ({linear.op}) before it has no weight for each channel"
    if only_reader(model, data) is not norm:
        return f"'{data.name}' between it and '{linear.name}' is also read elsewhere"
    values, weights = list(_constants(rest)), list(_constants(linear.inputs[1:]))
    if len(values) != len(rest) or len(weights) != len(linear.inputs) - 1:
        return f"its parameters, or those of '{linear.name}', are no float32 constants"
    scale, shift, mean, variance = values
    bias = weights[1] if len(weights) > 1 else np.zeros_like(scale)
    return FoldedLayer(
        linear.name,
        norm.name,
        axis,
        weights[0],
        np.broadcast_to(bias.reshape(-1), scale.shape),
        scale,
        shift,
        mean,
        variance,
        float(norm.attrs.get("epsilon", 1e-5)),
        float(norm.attrs.get("momentum", 0.9)),
    )


def _lost(layer: FoldedLayer, nodes: Mapping[str, Node], uses: Mapping[str, int]) -> str:
    """Why no node of the prepared model is this layer after folding; empty if one is."""
    node = nodes.get(layer.node)
    if node is None:
        return f"'{layer.node}' before it became part of another operator"
    if not _holds(node, layer):
        return f"'{layer.node}' holds something else than the two of them"
    if any(uses[t.name] != 1 for t in node.inputs[1:]):
        return f"others read the weight of '{layer.node}' too"
    return ""


def _constants(tensors: list[Any]) -> Iterator[Array]:
    for tensor in tensors:
        if isinstance(tensor, Constant) and read(tensor).dtype == np.float32:
            yield np.array(read(tensor))


def _channel_axis(node: Node) -> int | None:
    """The axis of a layer's weight along which its outputs lie; None for other layers."""
    match node.op:
        case "Conv":
            return 0
        case "ConvTranspose" if node.attrs.get("group", 1) == 1:
            return 1
        case "Gemm" if node.attrs.get("alpha", 1.0) == node.attrs.get("beta", 1.0) == 1.0:
            return 0 if node.attrs.get("transB", 0) else 1
        case _:
            return None


def _holds(node: Node, layer: FoldedLayer) -> bool:
    """Whether a node of the prepared model is this layer after folding."""
    values = list(_constants(node.inputs[1:]))
    if len(values) != 2 or values[0].shape != layer.weight.shape:
        return False
    weight, bias = folded(layer)
    return _near(values[0], weight) and _near(values[1].reshape(-1), bias)


def folded(layer: FoldedLayer) -> tuple[Array, Array]:
    """Weight and bias after folding: W·γ/√(σ²+ε) and β + (b-μ)·γ/√(σ²+ε)."""
    factor = layer.scale / np.sqrt(layer.variance + layer.epsilon)
    shape = [1] * layer.weight.ndim
    shape[layer.axis] = -1
    return layer.weight * factor.reshape(shape), layer.shift + (layer.bias - layer.mean) * factor


def _near(found: Array, wanted: Array) -> bool:
    if found.shape != wanted.shape:
        return False
    return bool(np.abs(found - wanted).max(initial=0) <= _CLOSE * np.abs(wanted).max(initial=0))
