"""What simulated quantization simulates, and the network that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxq.config import FakeQuantization
from onnxq.graph import Model
from onnxq.passes import weight_parameters
from onnxq.plan import Bias, Plan, Use
from onnxq.quant import PerChannel, PerTensor, QParams, choose_qparams, qparams_of
from onnxq.training.blueprint import Operation
from onnxq.training.fake_quantize import weight_quantizer
from onnxq.training.folded_layers import FoldedLayer
from onnxq.training.module import TorchModel
from onnxq.training.normed_layers import Folding, NormedLayer
from onnxq.training.operators import Operator
from onnxq.training.operators.elementwise import identity
from onnxq.training.quantized import QuantizedTorch, quantized_torch
from onnxq.training.transforms import Transform

_FIRST_RANGE = 6.0
"""Activations are taken to lie between -6 and 6 until a batch was seen."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """What is simulated.

    Attributes:
        model: The float model that the plan was made for.
        plan: What is rounded.
        folded: Layers of it that train with their batch normalisation, by name.
        folding: How their weights are rounded.
        per_channel: Whether weights rounded before folding have one scale per channel.
        delays: Training steps before activations, and weights, are rounded.
        freeze: Training steps after which statistics of batch normalisation stand still.
    """

    model: Model
    plan: Plan
    folded: Mapping[str, FoldedLayer] = field(default_factory=dict)
    folding: Folding = Folding.BESIDE
    per_channel: bool = False
    delays: tuple[int, int] = (0, 0)
    freeze: int = 10_000_000

    def __deepcopy__(self, memo: dict[int, Any]) -> Simulation:
        """It never changes, so copies of a module share it."""
        return self


def build_simulation(simulation: Simulation) -> tuple[QuantizedTorch, list[NormedLayer]]:
    """The model in torch with its quantizers, and those layers of it that have normalisations.

    Raises:
        PreconditionError: if torch cannot run the model.
    """
    model, plan = simulation.model, simulation.plan
    starts = {name: _first_range(plan, name) for name in plan.activations}
    settings = FakeQuantization(weights="ste", activations="ste", outer_bits=None)
    weights = weight_parameters(model, plan, starts)
    made = quantized_torch(model, plan, starts, weights, settings)
    if not simulation.folded:
        return made, []
    layers = [_layer(simulation, made, name) for name in simulation.folded]
    network = _with_layers(made.network, layers)
    return replace(made, network=network), layers


def _first_range(plan: Plan, name: str) -> QParams:
    activation = plan.activations[name]
    low = -_FIRST_RANGE if activation.low is None else max(-_FIRST_RANGE, activation.low)
    high = _FIRST_RANGE if activation.high is None else min(_FIRST_RANGE, activation.high)
    return choose_qparams(activation.scheme, min(low, 0.0), max(high, 0.0))


def _layer(simulation: Simulation, made: QuantizedTorch, name: str) -> NormedLayer:
    layer, folding = simulation.folded[name], simulation.folding
    [operation] = [o for o in made.network.blueprint.operations if o.name == name]
    quantizer = made.weights.get(Use(name, 1))
    if quantizer is not None and folding is Folding.BESIDE:
        grain = PerChannel(layer.axis) if simulation.per_channel else PerTensor()
        scheme = replace(quantizer.grid.scheme, granularity=grain)
        quantizer = weight_quantizer("ste", layer.weight, qparams_of(scheme, layer.weight))
    bias = simulation.plan.operands.get(Use(name, 2))
    data = made.activations[bias.input] if isinstance(bias, Bias) else None
    return NormedLayer(layer, operation.run, quantizer, folding, data)


def _with_layers(network: TorchModel, layers: Sequence[NormedLayer]) -> TorchModel:
    """The network with these layers in the place of those that have their names."""
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


def _copying(name: str, source: str, target: str) -> Operation:
    return Operation(name, "Identity", identity, (source,), (target,), Operator(identity))
