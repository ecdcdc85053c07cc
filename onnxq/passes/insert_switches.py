"""A float model in which every planned quantization can be switched on and off at run time.

Each quantized tensor passes a switch, a boolean input of its own:

    If(switch) then DequantizeLinear(QuantizeLinear(x)) else x

The engine computes only the branch that is taken. Stored weights become inputs: whoever runs the
model gives them as they were, or rounded.

So a single session answers what any subset of the quantizations costs, without building a model
for each. Values pass through the same Q and DQ as in the quantized model; the arithmetic between
stays float, which differs from the integer kernels by rounding alone. Biases are left float: an
int32 step is thousands of times finer than a weight's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from onnxq.graph import (
    Constant,
    Graph,
    Model,
    Node,
    Tensor,
    Variable,
    is_output,
    replace_uses,
    set_input,
    take_output,
)
from onnxq.passes.events import Applied, Event
from onnxq.passes.rounding import NewNodes
from onnxq.plan import Integer, Plan, Use
from onnxq.quant import QParams

_BOOL, _FLOAT = np.dtype(bool), np.dtype(np.float32)


def switch_input(quantization: str | Use) -> str:
    """Name of the input that belongs to one of a plan's quantizations.

    For an activation, and for data quantized at run time, a bool without axes; for a stored
    weight its values, of the type and shape they have in the float model.
    """
    if isinstance(quantization, Use):
        return f"onnxq_switch_{quantization.index}_of_{quantization.node}"
    return f"onnxq_switch_{quantization}"


@dataclass(frozen=True)
class InsertSwitches:
    """Insert switches for the quantized data of a plan, and make inputs of its stored weights.

    Attributes:
        plan: The plan; the model must be the one it was made for.
        activations: Parameters of every activation in the plan, by tensor name.
    """

    plan: Plan
    activations: Mapping[str, QParams]
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model; with all switches off and the weights it had it computes the same."""
        nodes, variables = {node.name: node for node in model.nodes}, model.variables
        inputs: list[Variable] = []
        for target in self.plan.quantizations:
            switch = Variable(switch_input(target), _BOOL, ())
            if isinstance(target, str):
                self._switch_activation(model, variables[target], switch)
            elif target in self.plan.operands:
                switch = _weight_from_outside(nodes[target.node], target.index, switch.name)
            else:
                _switch_reading(model, nodes[target.node], target.index, switch)
            inputs.append(switch)
            yield Applied(switch.name, "can be switched")
        model.graph.inputs = [*model.graph.inputs, *inputs]

    def _switch_activation(self, model: Model, tensor: Variable, switch: Variable) -> None:
        source, result = tensor, Variable(model.new_name(f"{tensor.name}_switched"), _FLOAT)
        everyone = self.plan.activations[tensor.name].everyone
        if everyone and is_output(model, tensor):
            # The name belongs to the model's users.
            source = Variable(model.new_name(f"{tensor.name}_float"), _FLOAT)
            writer = tensor.inputs[0]
            take_output(source, writer, writer.outputs.index(tensor))
            result = tensor
        else:
            readers = list(tensor.outputs)
            replace_uses(tensor, result, readers if everyone else self._of_codes(readers))
        on = NewNodes(model, tensor.name)
        on.rounded(source, self.activations[tensor.name])
        _add_switch(model, switch, on, source, result)

    def _of_codes(self, readers: list[Node]) -> list[Node]:
        decisions = ((node, self.plan.nodes.get(node.name)) for node in readers)
        return [n for n, d in decisions if isinstance(d, Integer) and d.reads_codes]


def _weight_from_outside(node: Node, index: int, name: str) -> Variable:
    weight = node.inputs[index]
    assert isinstance(weight, Constant)
    given = Variable(name, weight.stored.dtype, tuple(weight.stored.shape))
    set_input(node, index, given)
    return given


def _switch_reading(model: Model, node: Node, index: int, switch: Variable) -> None:
    source = node.inputs[index]
    result = Variable(model.new_name(f"{source.name}_switched"), _FLOAT)
    set_input(node, index, result)
    on = NewNodes(model, source.name)
    on.rounded_at_run_time(source)
    _add_switch(model, switch, on, source, result)


def _add_switch(
    model: Model, switch: Variable, on: NewNodes, source: Tensor, result: Variable
) -> None:
    off = NewNodes(model, source.name)
    [same] = off.add("Identity", source)
    same.dtype = _FLOAT
    branches = {"then_branch": _branch(on), "else_branch": _branch(off)}
    name = model.new_name(f"{source.name}_If")
    model.graph.nodes.append(Node("If", name, [switch], [result], branches))


def _branch(made: NewNodes) -> Graph:
    """A body that returns what the last of the nodes computes."""
    body = Graph(onnx.GraphProto(name=made.base), made.model.opset)
    body.nodes = made.nodes
    body.outputs = list(made.nodes[-1].outputs)
    return body
