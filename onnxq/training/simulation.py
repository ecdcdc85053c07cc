"""What simulated quantization simulates, and the network that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxq.config import FakeQuantization
from onnxq.graph import Model
from onnxq.passes import weight_parameters
from onnxq.plan import Plan, Use
from onnxq.quant import PerChannel, PerTensor, QParams, choose_qparams, qparams_of
from onnxq.training.fake_quantize import weight_quantizer
from onnxq.training.folded_layers import FoldedLayer
from onnxq.training.normed_layers import Folding, NormedLayer
from onnxq.training.normed_network import normed_layer, with_layers
from onnxq.training.quantized import QuantizedTorch, quantized_torch

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
    network = with_layers(made.network, layers)
    return replace(made, network=network), layers


def _first_range(plan: Plan, name: str) -> QParams:
    activation = plan.activations[name]
    low = -_FIRST_RANGE if activation.low is None else max(-_FIRST_RANGE, activation.low)
    high = _FIRST_RANGE if activation.high is None else min(_FIRST_RANGE, activation.high)
    return choose_qparams(activation.scheme, min(low, 0.0), max(high, 0.0))


def _layer(simulation: Simulation, made: QuantizedTorch, name: str) -> NormedLayer:
    layer, folding = simulation.folded[name], simulation.folding
    quantizer = made.weights.get(Use(name, 1))
    if quantizer is not None and folding is Folding.BESIDE:
        grain = PerChannel(layer.axis) if simulation.per_channel else PerTensor()
        scheme = replace(quantizer.grid.scheme, granularity=grain)
        quantizer = weight_quantizer("ste", layer.weight, qparams_of(scheme, layer.weight))
    return normed_layer(made, layer, quantizer, folding)
