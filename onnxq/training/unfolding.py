"""A quantized network whose layers train with the batch normalisations that were folded into them.

The plan, the scales and the file are those of the folded model. While it trains, each such layer
has its own weight W, and γ, β, μ and σ² of its normalisation; what is rounded is W·γ/σ, which
inference will read. At the end the folded weights and biases go where the plan has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from onnxq.errors import PreconditionError
from onnxq.graph import Model
from onnxq.plan import Use
from onnxq.training.fake_quantize import RoundedUpOrDown, TanhWeight, WeightQuantizer
from onnxq.training.folded_layers import FoldedLayer, find_layers, plain_copy
from onnxq.training.module import TorchModel
from onnxq.training.normed_layers import Folding, NormedLayer
from onnxq.training.normed_network import folded_values, normed_layer, operation_of, with_layers
from onnxq.training.quantized import QuantizedTorch

_WHERE = "finetune.batch_norm: folded"

_UNFIT: Mapping[type[WeightQuantizer], str] = {
    RoundedUpOrDown: "adaround learns to round a weight that stays",
    TanhWeight: "dorefa takes away the scale that the normalisation gives its weight",
}
"""Ways of learning a weight that cannot have it move with the statistics, and why."""


@dataclass(frozen=True)
class Unfolded:
    """A network that trains in the place of a quantized one.

    Attributes:
        network: What trains. It shares quantizers, masks and all other parameters.
        layers: Its layers with normalisations.
        constants: Names of weight and bias of each in the folded model.
        others: Why a normalisation is in none of them, by its name.
    """

    network: TorchModel
    layers: Sequence[NormedLayer]
    constants: Sequence[tuple[str, str]]
    others: Mapping[str, str]

    @property
    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """All that trains but for quantizers; γ and β under names of their own."""
        found = dict(self.network.parameters_by_name)
        for layer, (weight, bias) in zip(self.layers, self.constants, strict=True):
            found |= {weight: layer.weight, bias: layer.bias}
            found |= {f"{weight}\nscale": layer.scale, f"{weight}\nshift": layer.shift}
        return found

    def fold_into(self, quantized: QuantizedTorch, model: Model) -> None:
        """Give the quantized network what was learned.

        Args:
            quantized: The network that this one was made of.
            model: The float model that it was imported from.
        """
        own = quantized.network.parameters_by_name
        with torch.no_grad():
            for name, value in folded_values(model, self.layers).items():
                own[name].copy_(torch.from_numpy(value))


def unfold(
    quantized: QuantizedTorch, original: Model, prepared: Model, masks: Mapping[str, nn.Module]
) -> Unfolded:
    """Give layers of a quantized network back the batch normalisations folded into them.

    Args:
        quantized: The network. It is not changed.
        original: The model with its batch normalisations.
        prepared: The float model that the plan was made for.
        masks: Modules that hide parts of weights, by constant of the prepared model.

    Raises:
        PreconditionError: if no layer can have its normalisation.
    """
    found = find_layers(plain_copy(original), prepared)
    unfit = {n: why for n in found.layers if (why := _unfit(quantized, n))}
    kept = [layer for name, layer in found.layers.items() if name not in unfit]
    others = {**found.others, **{found.layers[n].norm: why for n, why in unfit.items()}}
    if not kept:
        raise _refusal(others)
    network = quantized.network
    constants = [operation_of(network, layer.node).inputs[1:3] for layer in kept]
    layers = [
        _layer(quantized, layer, masks.get(weight))
        for layer, (weight, _) in zip(kept, constants, strict=True)
    ]
    pairs = [(weight, bias) for weight, bias in constants]
    return Unfolded(with_layers(network, layers), layers, pairs, others)


def _unfit(quantized: QuantizedTorch, node: str) -> str:
    quantizer = quantized.weights.get(Use(node, 1))
    return "" if quantizer is None else _UNFIT.get(type(quantizer), "")


def _layer(quantized: QuantizedTorch, layer: FoldedLayer, mask: nn.Module | None) -> NormedLayer:
    quantizer = quantized.weights.get(Use(layer.node, 1))
    # What is not rounded is the same either way, and costs one convolution less so.
    folding = Folding.BESIDE if quantizer is None else Folding.BY_TWO
    return normed_layer(quantized, layer, quantizer, folding, mask)


def _refusal(others: Mapping[str, str]) -> PreconditionError:
    reasons = "; ".join(f"'{norm}': {why}" for norm, why in list(others.items())[:3])
    return PreconditionError(
        "no layer can be trained with its BatchNormalization",
        where=_WHERE,
        why=reasons or "the model has none; exporters fold them into the layers before",
        remedy="export the model without folding (torch.onnx.export: training=TrainingMode"
        ".PRESERVE), or leave finetune.batch_norm at frozen",
    )
