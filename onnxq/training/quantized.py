"""A float model in torch that rounds where its quantized form will."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from onnxq.config import ActivationLearning, FakeQuantization, LearningRule, WeightLearning
from onnxq.graph import Model, Node, read
from onnxq.passes import stored_constant
from onnxq.plan import Bias, Plan, Rows, Use, Weight, computing_nodes, resolve_learning
from onnxq.quant import Codes, PerChannel, QParams, Scheme, half_above, quantize_bias
from onnxq.training.fake_quantize import (
    FakeQuantize,
    FakeQuantizeBias,
    WeightQuantizer,
    activation_quantizer,
    weight_quantizer,
)
from onnxq.training.importing import to_torch
from onnxq.training.module import TorchModel
from onnxq.training.transforms import Transform


@dataclass(frozen=True)
class QuantizedTorch:
    """A model in torch with a quantizer for everything that its plan rounds.

    Attributes:
        network: The model; it rounds.
        plan: What is rounded.
        activations: Quantizers of activations, by tensor; those of one tie share one.
        weights: Quantizers of weights and tables, by use; equal uses share one.
    """

    network: TorchModel
    plan: Plan
    activations: Mapping[str, FakeQuantize]
    weights: Mapping[Use, WeightQuantizer]

    @property
    def quantizers(self) -> list[FakeQuantize]:
        """All quantizers, each once."""
        return list(dict.fromkeys([*self.activations.values(), *self.weights.values()]))

    def parameters(self) -> dict[str, QParams]:
        """Scale and zero point of every activation."""
        return {name: one.qparams() for name, one in self.activations.items()}

    def codes(self, model: Model) -> dict[Use, Codes]:
        """The integers of every weight and table.

        Args:
            model: The float model with the trained weights.

        Where an int32 bias would overflow, the channel's scale is raised, as for weights that
        were never trained.
        """
        nodes = {node.name: node for node in model.nodes}
        known: dict[int, Codes] = {}
        found: dict[Use, Codes] = {}
        for use, quantizer in self.weights.items():
            if id(quantizer) not in known:
                weight = torch.from_numpy(np.array(read(stored_constant(nodes, use))))
                codes = quantizer.codes(weight.to(quantizer.grid.first.device))
                known[id(quantizer)] = _with_scheme(codes, _scheme(self.plan, use))
            found[use] = known[id(quantizer)]
        return self._with_room(found, nodes)

    def _with_room(self, found: dict[Use, Codes], nodes: Mapping[str, Node]) -> dict[Use, Codes]:
        inputs = self.parameters()
        for use, operand in self.plan.operands.items():
            if not isinstance(operand, Bias):
                continue
            codes = found[operand.weight]
            bias = read(stored_constant(nodes, use)).reshape(-1)
            scale = codes.parameters.scale
            _, needed = quantize_bias(bias, inputs[operand.input].scale, scale)
            if not np.array_equal(needed, scale):
                if codes.parameters.scheme.half_scales:
                    needed = half_above(needed).astype(np.float32)
                raised = replace(codes.parameters, scale=needed)
                found[operand.weight] = Codes.nearest(codes.floats(), raised)
        return found


def quantized_torch(
    model: Model,
    plan: Plan,
    activations: Mapping[str, QParams],
    weights: Mapping[Use, QParams],
    settings: FakeQuantization,
    masks: Mapping[str, nn.Module] | None = None,
    rules: Sequence[LearningRule] = (),
) -> QuantizedTorch:
    """Import a model into torch, with a quantizer wherever its plan rounds.

    Args:
        model: The float model that the plan was made for. It is not changed.
        plan: What is rounded.
        activations: Scales and zero points to start from, by tensor.
        weights: The same of weights and tables, by use.
        settings: How rounding is learned.
        masks: Modules that weights pass before they are rounded, by constant.
        rules: How single layers learn, where it differs.

    Raises:
        PreconditionError: if torch cannot run the model.
        ConfigError: if a rule is about nothing in the model.
    """
    network = to_torch(model)
    nodes = {node.name: node for node in model.nodes}
    learning = resolve_learning(model, rules)
    computing = computing_nodes(model, plan)
    made = QuantizedTorch(
        network,
        plan,
        _activation_quantizers(
            plan,
            activations,
            lambda names: learning.activations(
                [node for name in names for node in computing[name]], settings.activations
            ),
        ),
        _weight_quantizers(
            plan, weights, nodes, lambda node: learning.weights(node, settings.weights)
        ),
    )
    network.transforms = [
        *_of_activations(made, _of_rows(made, nodes)),
        *_of_tables(made, _of_rows(made, nodes)),
        *_of_weights(made, masks or {}),
        *_of_biases(made),
    ]
    return made


def _of_rows(made: QuantizedTorch, nodes: Mapping[str, Node]) -> dict[str, WeightQuantizer]:
    """Quantizers of tables, by what is looked up in them: that is less than a whole table."""
    plan = made.plan
    return {
        nodes[use.node].outputs[0].name: quantizer
        for use, quantizer in made.weights.items()
        if isinstance(plan.operands[use], Rows)
    }


def _of_activations(
    made: QuantizedTorch, rows: Mapping[str, WeightQuantizer]
) -> Iterator[Transform]:
    """Who reads codes reads rounded values; so does everyone, where the float value is gone.

    What is looked up in a table is rounded as the table is, first of all.
    """
    plan = made.plan
    codes = frozenset(name for name, d in plan.integer_nodes.items() if d.reads_codes)
    for name, quantizer in made.activations.items():
        everyone = plan.activations[name].everyone
        module = nn.Sequential(rows[name], quantizer) if name in rows else quantizer
        yield Transform(name, module, None if everyone else codes, everyone)


def masking(masks: Mapping[str, nn.Module]) -> list[Transform]:
    """Transforms that let everyone read masked weights."""
    return [Transform(name, module) for name, module in masks.items()]


def _of_tables(made: QuantizedTorch, rows: Mapping[str, WeightQuantizer]) -> Iterator[Transform]:
    for tensor, quantizer in rows.items():
        activation = made.plan.activations.get(tensor)
        if activation is None or not activation.everyone:
            yield Transform(tensor, quantizer, output=True)


def _of_weights(made: QuantizedTorch, masks: Mapping[str, nn.Module]) -> Iterator[Transform]:
    readers: dict[tuple[str, int], set[str]] = {}
    for use, quantizer in made.weights.items():
        operand = made.plan.operands[use]
        if isinstance(operand, Weight):
            readers.setdefault((operand.tensor, id(quantizer)), set()).add(use.node)
    by_id = {id(quantizer): quantizer for quantizer in made.weights.values()}
    for (tensor, key), names in readers.items():
        module: nn.Module = by_id[key]
        if tensor in masks:
            module = nn.Sequential(masks[tensor], module)
        yield Transform(tensor, module, frozenset(names))
    # Where two transforms concern one reader the first counts: these are for the float readers.
    yield from masking(masks)


def _of_biases(made: QuantizedTorch) -> Iterator[Transform]:
    for use, operand in made.plan.operands.items():
        if isinstance(operand, Bias):
            data, weight = made.activations[operand.input], made.weights[operand.weight]
            yield Transform(operand.tensor, FakeQuantizeBias(data, weight), frozenset([use.node]))


def _activation_quantizers(
    plan: Plan,
    starts: Mapping[str, QParams],
    way_of: Callable[[Sequence[str]], ActivationLearning],
) -> dict[str, FakeQuantize]:
    """By tensor; `way_of` tells how tensors learn that share a grid."""
    shared: dict[str, FakeQuantize] = {}
    ties = plan.ties
    for name, activation in plan.activations.items():
        tie = activation.tie or name
        if tie not in shared:
            high = _bound(plan, tie) if activation.tie else activation.high
            way = way_of(ties[activation.tie] if activation.tie else [name])
            shared[tie] = activation_quantizer(way, starts[name], high)
    return {name: shared[a.tie or name] for name, a in plan.activations.items()}


def _bound(plan: Plan, tie: str) -> float | None:
    """Where all tensors of a tie end; None if one has no end."""
    ends = [a.high for a in plan.activations.values() if a.tie == tie]
    return None if None in ends else max(end for end in ends if end is not None)


def _weight_quantizers(
    plan: Plan,
    starts: Mapping[Use, QParams],
    nodes: Mapping[str, Node],
    way_of: Callable[[str], WeightLearning],
) -> dict[Use, WeightQuantizer]:
    """By use; `way_of` tells how the weights of a node learn."""
    shared: dict[tuple[object, ...], WeightQuantizer] = {}
    found: dict[Use, WeightQuantizer] = {}
    for use, operand in plan.operands.items():
        if not isinstance(operand, Weight | Rows):
            continue
        start, way = starts[use], way_of(use.node)
        key = (operand.tensor, operand.scheme, start.scale.tobytes(), type(operand), way)
        if key not in shared:
            weight: NDArray[Any] = np.array(read(stored_constant(nodes, use)))
            if isinstance(operand, Rows) and isinstance(operand.scheme.granularity, PerChannel):
                # The last axis is the same in the table and in what is looked up.
                start = replace(start, scheme=_last_axis(operand.scheme))
            shared[key] = weight_quantizer(way, weight, start)
        found[use] = shared[key]
    return found


def _last_axis(scheme: Scheme) -> Scheme:
    return replace(scheme, granularity=PerChannel(-1))


def _scheme(plan: Plan, use: Use) -> Scheme:
    operand = plan.operands[use]
    assert isinstance(operand, Weight | Rows)
    return operand.scheme


def _with_scheme(codes: Codes, scheme: Scheme) -> Codes:
    return replace(codes, parameters=replace(codes.parameters, scheme=scheme))


def weighted_layers(plan: Plan) -> Sequence[str]:
    """Names of the nodes with quantized weights, in the plan's order."""
    names = [use.node for use, o in plan.operands.items() if isinstance(o, Weight)]
    order = {name: place for place, name in enumerate(plan.nodes)}
    return sorted(dict.fromkeys(names), key=lambda name: order[name])
