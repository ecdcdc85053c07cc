"""A float model in which every planned quantization can be switched on and off at run time.

One boolean input holds a switch for each quantized activation and each stored weight:

    Where(switch, DequantizeLinear(QuantizeLinear(x)), x)      and      Where(switch, Ŵ, W)

So a single session answers what any subset of them costs, without building a model for each.
Values pass through the same Q and DQ as in the quantized model; the arithmetic between stays
float, which differs from the integer kernels by rounding alone. Biases are left float: an
int32 step is thousands of times finer than a weight's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    Variable,
    constant,
    is_output,
    replace_uses,
    set_input,
    take_output,
)
from onnxq.passes.events import Applied, Event
from onnxq.passes.weight_codes import nearest_codes
from onnxq.plan import WEIGHTS_ONLY, Integer, Plan, Rows, Use, Weight
from onnxq.quant import Codes, QParams

SWITCHES = "onnxq_switches"
"""Name of the added input: bool [number of switches]."""


@dataclass(frozen=True)
class InsertSwitches:
    """Insert switches for a plan's quantizations.

    Attributes:
        plan: The plan; the model must be the one it was made for.
        activations: Parameters of every activation in the plan, by tensor name.
        weights: As for `InsertQDQ`.
    """

    plan: Plan
    activations: Mapping[str, QParams]
    weights: Mapping[Use, Codes] | None = None
    exact: ClassVar[bool] = False

    @property
    def switches(self) -> list[str | Use]:
        """What each switch is for, in order: activations by name, then weights by use."""
        weights = [u for u, o in self.plan.operands.items() if isinstance(o, Weight | Rows)]
        return [*self.plan.activations, *weights]

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model; with all switches off it computes what it did."""
        work = _Work(model, Variable(SWITCHES, np.dtype(bool), (len(self.switches),)))
        weights = self.weights
        if weights is None:
            weights = nearest_codes(model, self.plan, self.activations)
        nodes = {node.name: node for node in model.nodes}
        variables = model.variables
        for index, target in enumerate(self.switches):
            if isinstance(target, Use):
                work.switch_weight(nodes[target.node], target.index, weights[target], index)
                yield Applied(target.node, f"input {target.index} can be switched")
                continue
            everyone = self.plan.activations[target].everyone
            readers = None if everyone else self._integer_readers(variables[target])
            work.switch_activation(variables[target], self.activations[target], index, readers)
            yield Applied(target, "can be switched")
        model.graph.inputs = [*model.graph.inputs, work.switches]

    def _integer_readers(self, tensor: Variable) -> list[Node]:
        decisions = ((n, self.plan.nodes.get(n.name)) for n in tensor.outputs)
        return [n for n, d in decisions if isinstance(d, Integer) and d.role != WEIGHTS_ONLY]


@dataclass
class _Work:
    model: Model
    switches: Variable

    def switch_activation(
        self, tensor: Variable, parameters: QParams, index: int, readers: list[Node] | None
    ) -> None:
        name = tensor.name
        scale = self._constant(f"{name}_scale", parameters.scale)
        zero_point = self._constant(f"{name}_zero_point", parameters.zero_point)
        chosen = list(tensor.outputs) if readers is None else readers
        source: Tensor = tensor
        result = Variable(self.model.new_name(f"{name}_switched"))
        if readers is None and is_output(self.model, tensor):
            source = Variable(self.model.new_name(f"{name}_float"))
            writer = tensor.inputs[0]
            take_output(source, writer, writer.outputs.index(tensor))
            result = tensor
        else:
            replace_uses(tensor, result, chosen)
        codes = self._add("QuantizeLinear", name, [source, scale, zero_point])
        rounded = self._add("DequantizeLinear", name, [codes, scale, zero_point])
        self._choose(name, index, rounded, source, result)

    def switch_weight(self, node: Node, position: int, codes: Codes, index: int) -> None:
        weight = node.inputs[position]
        assert isinstance(weight, Constant)
        result = Variable(self.model.new_name(f"{weight.name}_switched"))
        stored = self._constant(f"{weight.name}_rounded", codes.floats())
        self._choose(weight.name, index, stored, weight, result)
        set_input(node, position, result)

    def _choose(self, name: str, index: int, on: Tensor, off: Tensor, result: Variable) -> None:
        place = self._constant(f"{name}_switch_place", np.int64(index))
        switch = self._add("Gather", f"{name}_switch", [self.switches, place])
        node = Node("Where", self.model.new_name(f"{name}_Where"), [switch, on, off], [result])
        self.model.graph.nodes.append(node)

    def _add(self, op: str, name: str, inputs: list[Tensor]) -> Variable:
        output = Variable(self.model.new_name(f"{name}_{op}_output"))
        self.model.graph.nodes.append(
            Node(op, self.model.new_name(f"{name}_{op}"), inputs, [output])
        )
        return output

    def _constant(self, name: str, value: np.ndarray | np.generic) -> Constant:
        return constant(self.model.new_name(name), value)
