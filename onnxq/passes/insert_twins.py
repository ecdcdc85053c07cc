"""How much each layer of a plan errs by itself: beside it, a twin computes what it would in codes.

The twin reads what the float model computes, rounded, multiplies by the rounded weights, and
rounds its result. Two sums leave the model for each layer, so that no tensor needs to be kept:

    signal = Σ y²        noise = Σ (y' - y)²        over its output y, y' that of the twin
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from onnxq.graph import Model, Node, Tensor, Variable, constant
from onnxq.passes.events import Applied, Event
from onnxq.passes.rounding import NewNodes
from onnxq.plan import Integer, Plan, Use
from onnxq.quant import Codes, QParams


def sums_of(node: str) -> tuple[str, str]:
    """Names of the outputs that hold the signal and the noise of a layer, float32 scalars."""
    return f"onnxq_signal_of_{node}", f"onnxq_noise_of_{node}"


@dataclass(frozen=True)
class InsertTwins:
    """Add a quantized twin for every layer, and let the model return their sums alone.

    Attributes:
        plan: The plan; the model must be the one it was made for.
        activations: Parameters of every activation in the plan, by tensor name.
        weights: The integers of every weight and table.
    """

    plan: Plan
    activations: Mapping[str, QParams]
    weights: Mapping[Use, Codes]
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        work = _Work(model, self.plan, self.activations, self.weights)
        outputs: list[Variable] = []
        for name, decision in self.plan.integer_nodes.items():
            outputs.extend(work.twin(name, decision))
            yield Applied(name, "has a quantized twin")
        model.graph.nodes.extend(work.new_nodes)
        model.graph.outputs = outputs


@dataclass
class _Work:
    model: Model
    plan: Plan
    activations: Mapping[str, QParams]
    weights: Mapping[Use, Codes]
    new_nodes: list[Node] = field(default_factory=list)
    rounded: dict[str, Variable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.model.nodes}
        self.variables = self.model.variables

    def twin(self, name: str, decision: Integer) -> list[Variable]:
        """The sums of a layer."""
        copies: dict[str, Tensor] = {}
        for member in (self.nodes[name], *(self.nodes[other] for other in decision.group)):
            inputs = [self._input(member, i, decision, copies) for i in range(len(member.inputs))]
            outputs = [Variable(self.model.new_name(f"{t.name}_twin")) for t in member.outputs]
            twin = self.model.new_name(f"{member.name}_twin")
            made = Node(member.op, twin, inputs, list(outputs), dict(member.attrs), member.domain)
            self.new_nodes.append(made)
            copies.update(zip((t.name for t in member.outputs), outputs, strict=True))
        return self._compare(name, self.variables[decision.output], copies[decision.output])

    def _compare(self, name: str, expected: Variable, found: Tensor) -> list[Variable]:
        new = NewNodes(self.model, name)
        activation = self.plan.activations.get(expected.name)
        if activation is not None and activation.everyone:
            found = new.rounded(found, self.activations[expected.name])
        [difference] = new.add("Sub", found, expected)
        sums = []
        for output, tensor in zip(sums_of(name), (expected, difference), strict=True):
            new.add("ReduceSumSquare", tensor, keepdims=0)
            sums.append(Variable(output))
            new.nodes[-1].outputs = [sums[-1]]
        self.new_nodes.extend(new.nodes)
        return sums

    def _input(
        self, node: Node, index: int, decision: Integer, copies: Mapping[str, Tensor]
    ) -> Tensor:
        """What the twin of a node reads in place of one of its inputs."""
        use, tensor = Use(node.name, index), node.inputs[index]
        if use in self.weights:
            return constant(self.model.new_name(f"{tensor.name}_twin"), self.weights[use].floats())
        if tensor.name in copies:
            return copies[tensor.name]
        if use in self.plan.found_at_run_time:
            new = NewNodes(self.model, tensor.name)
            result = new.rounded_at_run_time(tensor)
            self.new_nodes.extend(new.nodes)
            return result
        if decision.reads_codes and tensor.name in self.activations:
            return self._rounded(tensor)
        return tensor

    def _rounded(self, tensor: Tensor) -> Variable:
        if tensor.name not in self.rounded:
            new = NewNodes(self.model, tensor.name)
            self.rounded[tensor.name] = new.rounded(tensor, self.activations[tensor.name])
            self.new_nodes.extend(new.nodes)
        return self.rounded[tensor.name]
