"""Simulated quantization: a module for anyone's training loop, which becomes ONNX at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from pickle import PickleError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxq.errors import DataError, UsageError
from onnxq.graph import Model, copy_model, read
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes, stored_constant
from onnxq.plan import Bias, Plan, Rows, Use, Weight
from onnxq.quant import Codes, QParams, quantize_bias
from onnxq.training.batch_norm import BatchNormMode
from onnxq.training.fake_quantize import FakeQuantize, WeightQuantizer
from onnxq.training.normed_network import folded_values
from onnxq.training.simulation import Simulation, build_simulation
from onnxq.training.write_back import write_back


class SimulatedNetwork(nn.Module):
    """An ONNX model that computes as its quantized form will.

    In training mode every call is a step: ranges of activations follow the batches (the first one
    sets them, later ones count 1 %), those of weights are the weights' own. Rounding begins after
    its delay. In evaluation everything is rounded, and nothing follows.

    Attributes:
        network: The model, node by node.
        simulation: What is simulated.
        steps: Training steps so far, an int64 scalar that checkpoints keep.
    """

    steps: Tensor

    def __init__(self, simulation: Simulation) -> None:
        """Import a model into torch, with a quantizer wherever its plan rounds.

        Raises:
            PreconditionError: if torch cannot run the model.
        """
        super().__init__()
        self.simulation = simulation
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._quantized, layers = build_simulation(simulation)
        self.network = self._quantized.network
        self._layers = tuple(layers)
        self._fresh: set[int] = set()
        for activation in dict.fromkeys(self._quantized.activations.values()):
            activation.register_forward_pre_hook(self._see_first)
        # What passes the quantizer of a table are the rows looked up, not the table.
        tables = {u: o for u, o in simulation.plan.operands.items() if isinstance(o, Rows)}
        self._tables = {self._quantized.weights[u]: o.tensor for u, o in tables.items()}
        for weight in self._weights:
            if weight not in self._tables:
                weight.register_forward_pre_hook(_follow_weight)

    @property
    def folded(self) -> tuple[str, ...]:
        """The layers that train with their batch normalisation."""
        return tuple(layer.node for layer in self._layers)

    def forward(self, *inputs: Any, **named: Tensor) -> Any:
        """Run the model.

        Args:
            inputs: Tensors in the order of the model's inputs, or one mapping by name.
            named: Tensors by name.

        Returns:
            The output, or a mapping by name where the model has several.

        Raises:
            UsageError: if an input is missing, or there are too many.
        """
        self._prepare_step()
        outputs: Mapping[str, Tensor] = self.network(self._fed(inputs, named))
        if self.training:
            self.steps += 1
        return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)

    def to_onnx(self) -> Model:
        """The model with Q/DQ, as it computes in evaluation.

        Batch normalisations of folded layers are inside their weights; others are nodes.
        """
        plan = self.simulation.plan
        names = self.network.tensors_by_name
        values = {name: tensor.detach().cpu().numpy() for name, tensor in names.items()}
        values.update(folded_values(self.simulation.model, self._layers))
        trained = write_back(self.simulation.model, values)
        self._follow_stored(trained)
        parameters = self._quantized.parameters()
        codes = {**self._quantized.codes(trained), **self._codes_of_layers()}
        codes = _with_room(codes, plan, trained, parameters)
        result = copy_model(trained)
        apply_passes(result, [InsertQDQ(plan, parameters, codes), DeduplicateConstants()])
        return result

    @property
    def _weights(self) -> list[WeightQuantizer]:
        own = (layer.quantizer for layer in self._layers if layer.quantizer is not None)
        return list(dict.fromkeys([*self._quantized.weights.values(), *own]))

    def _prepare_step(self) -> None:
        step, simulation = int(self.steps), self.simulation
        for quantizers, delay in zip(
            (self._quantized.activations.values(), self._weights), simulation.delays, strict=True
        ):
            for quantizer in quantizers:
                quantizer.enabled = not self.training or step >= delay
                quantizer.observing = self.training
        if self.training and step == 0:
            self._fresh = {id(one) for one in self._quantized.activations.values()}
        for quantizer, name in self._tables.items():
            _follow_weight(quantizer, (self.network.tensors_by_name[name],))
        still = step >= simulation.freeze
        for layer in self._layers:
            layer.still = still
        mode = BatchNormMode.FROZEN if still else BatchNormMode.TRAINED
        if self.network.batch_norm is not mode:
            self.network.batch_norm = mode

    def _see_first(self, quantizer: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Let the first batch set the range."""
        if not self.training or id(quantizer) not in self._fresh:
            return
        assert isinstance(quantizer, FakeQuantize)
        self._fresh.discard(id(quantizer))
        low, high = quantizer.grouping.ends(inputs[0].detach())
        quantizer.low.copy_(low)
        quantizer.high.copy_(high)

    def _fed(self, inputs: Sequence[Any], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if len(inputs) == 1 and isinstance(inputs[0], Mapping):
            return {**inputs[0], **named}
        names = self.network.blueprint.inputs
        if len(inputs) > len(names):
            raise UsageError(
                f"{len(inputs)} inputs were given",
                why=f"the model reads {', '.join(names)}",
                remedy="give one tensor for each",
            )
        return {**dict(zip(names, inputs, strict=False)), **named}

    def _follow_stored(self, trained: Model) -> None:
        """Take the ranges of the weights as they are stored."""
        nodes = {node.name: node for node in trained.nodes}
        for use, quantizer in self._quantized.weights.items():
            value = torch.from_numpy(np.array(read(stored_constant(nodes, use))))
            _follow_weight(quantizer, (value.to(quantizer.grid.first.device),))

    def _codes_of_layers(self) -> dict[Use, Codes]:
        found = {}
        for layer in self._layers:
            use = Use(layer.node, 1)
            operand = self.simulation.plan.operands.get(use)
            codes = layer.codes(operand.scheme) if isinstance(operand, Weight) else None
            if codes is not None:
                found[use] = codes
        return found


def load_state(network: SimulatedNetwork, path: Path) -> None:
    """Load what `torch.save(network.state_dict(), path)` wrote.

    Raises:
        DataError: if the file is no checkpoint of this module.
    """
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, LookupError, TypeError, EOFError, ValueError, PickleError) as e:
        raise DataError(
            "is no checkpoint of this module",
            where=str(path),
            why=f"{type(e).__name__}: {e}".splitlines()[0],
            remedy="name a file that torch.save(net.state_dict(), …) wrote",
        ) from e


def _follow_weight(quantizer: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Let the range of a weight be its own, in evaluation too."""
    assert isinstance(quantizer, FakeQuantize)
    with torch.no_grad():
        quantizer.grid.follow(*quantizer.grouping.ends(inputs[0].detach()))


def _with_room(
    codes: Mapping[Use, Codes], plan: Plan, model: Model, parameters: Mapping[str, QParams]
) -> dict[Use, Codes]:
    """Raise the scales of channels whose int32 bias would overflow."""
    found = dict(codes)
    nodes = {node.name: node for node in model.nodes}
    for use, operand in plan.operands.items():
        if isinstance(operand, Bias):
            known = found[operand.weight]
            bias = read(stored_constant(nodes, use)).reshape(-1)
            scale = known.parameters.scale
            _, needed = quantize_bias(bias, parameters[operand.input].scale, scale)
            if not np.array_equal(needed, scale):
                raised = replace(known.parameters, scale=needed)
                found[operand.weight] = Codes.nearest(known.floats(), raised)
    return found
