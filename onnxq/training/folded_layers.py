"""Which batch normalisations a prepared model holds inside its linear layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, only_reader, producer, read, reads

_CLOSE = 1e-3
"""Largest difference of what was folded to what should be, as a share of the largest weight."""

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """A linear layer, and the batch normalisation that was folded into it.

    Attributes:
        node: The layer's name, in the original model and in the prepared one.
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
    axis: int
    weight: Array
    bias: Array
    scale: Array
    shift: Array
    mean: Array
    variance: Array
    epsilon: float
    momentum: float


def folded_layers(original: Model, prepared: Model) -> dict[str, FoldedLayer]:
    """The layers of the prepared model whose weights hold a batch normalisation of the original.

    A layer is one of them if it has its name, and the weight and bias that folding gives.

    Args:
        original: The model with its batch normalisations; all nodes have names.
        prepared: The same after the exact passes.

    Returns:
        By the name of the layer.
    """
    nodes = {node.name: node for node in prepared.nodes}
    uses = Counter(t.name for node in prepared.nodes for t in reads(node))
    found = (_before(original, node) for node in original.nodes if node.op == "BatchNormalization")
    return {
        layer.node: layer
        for layer in found
        if layer is not None
        and layer.node in nodes
        and _holds(nodes[layer.node], layer)
        and all(uses[t.name] == 1 for t in nodes[layer.node].inputs[1:])
    }


def _before(model: Model, norm: Node) -> FoldedLayer | None:
    """The layer before a batch normalisation, if it can be folded into it."""
    data, *rest = norm.inputs
    values = list(_constants(rest))
    linear = producer(data)
    if linear is None or only_reader(model, data) is not norm or len(values) != len(rest):
        return None
    axis = _channel_axis(linear)
    weights = list(_constants(linear.inputs[1:]))
    if axis is None or len(weights) != len(linear.inputs) - 1:
        return None
    scale, shift, mean, variance = values
    bias = weights[1] if len(weights) > 1 else np.zeros_like(scale)
    return FoldedLayer(
        linear.name,
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
