"""A network of which some layers train with the normalisation that was folded into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from onnxq.graph import Model, read
from onnxq.plan import Bias, Use
from onnxq.training.blueprint import Operation
from onnxq.training.fake_quantize import WeightQuantizer
from onnxq.training.folded_layers import FoldedLayer
from onnxq.training.module import TorchModel
from onnxq.training.normed_layers import Folding, NormedLayer
from onnxq.training.operators import Operator
from onnxq.training.operators.elementwise import identity
from onnxq.training.quantized import QuantizedTorch
from onnxq.training.transforms import Transform


def normed_layer(
    made: QuantizedTorch,
    layer: FoldedLayer,
    quantizer: WeightQuantizer | None,
    folding: Folding,
    mask: nn.Module | None = None,
) -> NormedLayer:
    """A layer of a quantized network, with its normalisation.

    Args:
        made: The network, which holds the layer folded.
        layer: The layer and its normalisation.
        quantizer: Rounds its weight; None: it stays float.
        folding: How.
        mask: What hides a part of the weight.
    """
    operation = operation_of(made.network, layer.node)
    bias = made.plan.operands.get(Use(layer.node, 2))
    data = made.activations[bias.input] if isinstance(bias, Bias) else None
    return NormedLayer(layer, operation.run, quantizer, folding, data, mask)


def operation_of(network: TorchModel, name: str) -> Operation:
    """The operation of this name."""
    [found] = [o for o in network.blueprint.operations if o.name == name]
    return found


def with_layers(network: TorchModel, layers: Sequence[NormedLayer]) -> TorchModel:
    """The network with these layers in the place of those that have their names.

    All other parameters, and the modules of the transforms, are shared with it.
    """
    by_name = {layer.node: layer for layer in layers}
    operations: list[Operation] = []
    own: list[Transform] = []
    gone: set[str] = set()
    for operation in network.blueprint.operations:
        layer = by_name.get(operation.name)
        if layer is None:
            operations.append(operation)
            continue
        gone.update(operation.inputs[1:])
        # Two copies with the layer between them: what reads the data rounded goes on to do so.
        between = f"{operation.inputs[0]}\nread by {operation.name}"
        after = f"{operation.name}\nwith its normalisation"
        operations += [
            _copying(operation.name, operation.inputs[0], between),
            _copying(after, between, operation.outputs[0]),
        ]
        own.append(Transform(between, layer, frozenset([after])))
    weights = {n: p for n, p in network.parameters_by_name.items() if n not in gone}
    blueprint = replace(network.blueprint, operations=tuple(operations))
    made = TorchModel(blueprint, weights, network.statistics.by_name())
    made.transforms = [*(t for t in network.transforms if t.tensor not in gone), *own]
    return made


def folded_values(model: Model, layers: Iterable[NormedLayer]) -> dict[str, NDArray[Any]]:
    """The constants that hold these layers folded, by name.

    Args:
        model: The float model that the network was imported from.
        layers: Layers of it.
    """
    nodes = {node.name: node for node in model.nodes}
    found = {}
    for layer in layers:
        with torch.no_grad():
            values = layer.folded()
        for tensor, value in zip(nodes[layer.node].inputs[1:], values, strict=True):
            found[tensor.name] = value.cpu().numpy().reshape(read(tensor).shape)
    return found


def _copying(name: str, source: str, target: str) -> Operation:
    return Operation(name, "Identity", identity, (source,), (target,), Operator(identity))
