"""Carry out a plan: QuantizeLinear and DequantizeLinear around what runs in integers.

Activations pass through Q and DQ. Weights, biases and tables become integer constants behind
a DQ; no float copy stays. Products that quantize their data at run time read integer weights
themselves. Nothing is decided here: what, how and with which parameters is
all in the plan and the ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    Variable,
    constant,
    is_output,
    read,
    replace_uses,
    set_input,
    take_output,
)
from onnxq.passes.events import Applied, Event
from onnxq.passes.insert_dynamic import DynamicProducts
from onnxq.passes.weight_codes import nearest_codes, stored_constant
from onnxq.plan import (
    Activation,
    Bias,
    Integer,
    Operand,
    Plan,
    Rows,
    Shield,
    Use,
    Weight,
)
from onnxq.quant import (
    Codes,
    PerBlock,
    PerChannel,
    QParams,
    bias_qparams,
    half_below,
    nearest_half,
    quantize_bias,
)

_BYTE = 8


@dataclass(frozen=True)
class InsertQDQ:
    """Insert Q/DQ and store constants in integers.

    Attributes:
        plan: What becomes of every tensor.
        activations: Parameters of every activation in the plan, by tensor name.
        weights: The integers of every weight and table in the plan; without them each is
            rounded to the nearest code of a scale that covers its largest value.
    """

    plan: Plan
    activations: Mapping[str, QParams]
    weights: Mapping[Use, Codes] | None = None
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model; it must be the one the plan was made for."""
        weights = self.weights
        if weights is None:
            weights = nearest_codes(model, self.plan, self.activations)
        work = _Work(model, self.plan, self.activations, weights)
        for use, operand in self.plan.operands.items():
            yield work.store(use, operand)
        for name, activation in self.plan.activations.items():
            yield work.pass_through(name, activation)
        model.graph.nodes.extend([*work.products.new_nodes, *work.new_nodes])


@dataclass
class _Work:
    """One insertion; `stored` and `integers` let uses of equal codes share them."""

    model: Model
    plan: Plan
    parameters: Mapping[str, QParams]
    weights: Mapping[Use, Codes]
    new_nodes: list[Node] = field(default_factory=list)
    stored: dict[tuple[int, int], Variable] = field(default_factory=dict)
    integers: dict[int, Constant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.model.nodes}
        self.variables = self.model.variables
        self.at_run_time = {use.node for use in self.plan.found_at_run_time}
        self.products = DynamicProducts(self.model, self._codes)

    def _bias(self, use: Use) -> Any:
        return read(self._constant(use)).reshape(-1)

    def _input_scale(self, operand: Bias) -> Any:
        return self.parameters[operand.input].scale

    def _constant(self, use: Use) -> Constant:
        return stored_constant(self.nodes, use)

    def store(self, use: Use, operand: Operand) -> Event:
        """Store the constant of one use in integers."""
        match operand:
            case Weight() if use.node in self.at_run_time:
                return self._multiply(use)
            case Weight(scheme=scheme):
                self._read_instead(use, self._stored(self._constant(use), self.weights[use]))
                return Applied(use.node, f"stores '{operand.tensor}' as {scheme.qtype.storage}")
            case Bias():
                return self._store_bias(use, operand)
            case Rows():
                return self._store_rows(use, operand)
            case Shield():
                return self._store_shield(use, operand)

    def _multiply(self, use: Use) -> Event:
        node, codes = self.nodes[use.node], self.weights[use]
        data = node.inputs[0].name
        self.products.convert(node, self._constant(use), codes)
        return Applied(use.node, f"quantizes '{data}' with the range of each run")

    def _read_instead(self, use: Use, tensor: Tensor) -> None:
        self.nodes[use.node].inputs[use.index] = tensor

    def _stored(self, tensor: Constant, codes: Codes) -> Variable:
        key = (id(tensor), id(codes))
        if key not in self.stored:
            integers = self._codes(tensor, codes)
            self.stored[key] = self._dequantize(integers, tensor.name, codes.parameters)
        return self.stored[key]

    def _codes(self, tensor: Constant, codes: Codes) -> Constant:
        if id(codes) not in self.integers:
            name = self.model.new_name(f"{tensor.name}_quantized")
            self.integers[id(codes)] = constant(name, codes.values)
        return self.integers[id(codes)]

    def _dequantize(self, codes: Tensor, base: str, parameters: QParams) -> Variable:
        output = Variable(self.model.new_name(f"{base}_dequantized"))
        scale, zero_point = self._pair(base, parameters)
        self._add("DequantizeLinear", base, [codes, scale, zero_point], output, parameters)
        return output

    def _pair(self, base: str, parameters: QParams) -> tuple[Constant, Constant]:
        return (
            constant(self.model.new_name(f"{base}_scale"), parameters.scale),
            constant(self.model.new_name(f"{base}_zero_point"), parameters.zero_point),
        )

    def _add(
        self, op: str, base: str, inputs: list[Tensor], output: Tensor, parameters: QParams
    ) -> Node:
        name = self.model.new_name(f"{base}_{op}")
        node = Node(op, name, inputs, [output], _axis_attributes(parameters))
        self.new_nodes.append(node)
        return node

    def _store_bias(self, use: Use, operand: Bias) -> Event:
        weight = self.weights[operand.weight].parameters
        shape = self._constant(use).stored.shape
        scale = self._input_scale(operand)
        codes, _ = quantize_bias(self._bias(use), scale, weight.scale)
        names = (f"{operand.tensor}_quantized", f"{operand.tensor}_scale")
        stored = constant(self.model.new_name(names[0]), codes.reshape(shape))
        product = constant(self.model.new_name(names[1]), bias_qparams(scale, weight.scale).scale)
        output = Variable(self.model.new_name(f"{operand.tensor}_dequantized"))
        attributes = {"axis": len(shape) - 1} if product.shape else {}
        name = self.model.new_name(f"{operand.tensor}_DequantizeLinear")
        node = Node("DequantizeLinear", name, [stored, product], [output], attributes)
        self.new_nodes.append(node)
        self._read_instead(use, output)
        return Applied(use.node, f"stores '{operand.tensor}' as int32")

    def _store_shield(self, use: Use, operand: Shield) -> Event:
        node = self.nodes[use.node]
        given = self._bias(use) if operand.tensor else np.zeros(operand.channels, np.float32)
        # A float is a whole number below 2^24 times a power of two: nothing is lost.
        scale = np.ldexp(np.float32(1), np.frexp(given)[1] - 24)
        scale = np.where(scale > 0, scale, np.float32(1))
        codes = np.rint(given / scale).astype(np.int32)
        base = operand.tensor or f"{use.node}_bias"
        stored = constant(self.model.new_name(f"{base}_quantized"), codes)
        steps = constant(self.model.new_name(f"{base}_scale"), scale.astype(np.float32))
        output = Variable(self.model.new_name(f"{base}_dequantized"))
        name = self.model.new_name(f"{base}_DequantizeLinear")
        self.new_nodes.append(
            Node("DequantizeLinear", name, [stored, steps], [output], {"axis": 0})
        )
        set_input(node, use.index, output)
        return Applied(use.node, "stays float for the engine too: its bias became int32")

    def _store_rows(self, use: Use, operand: Rows) -> Event:
        codes = self.weights[use]
        parameters = codes.parameters
        node, table = self.nodes[use.node], self._constant(use)
        result = node.outputs[0]
        rows = Variable(self.model.new_name(f"{result.name}_rows"))
        self._read_instead(use, self._codes(table, codes))
        node.outputs[0] = rows
        scale, zero_point = self._pair(table.name, parameters)
        attributes = {} if parameters.scale.ndim == 0 else {"axis": -1}
        name = self.model.new_name(f"{result.name}_DequantizeLinear")
        self.new_nodes.append(
            Node("DequantizeLinear", name, [rows, scale, zero_point], [result], attributes)
        )
        return Applied(use.node, f"looks up '{table.name}' in {operand.scheme.qtype.storage}")

    def pass_through(self, name: str, activation: Activation) -> Event:
        """Let a tensor pass through Q and DQ on its way to its readers."""
        tensor, parameters = self.variables[name], self.parameters[name]
        if activation.gain != 1.0:
            return self._rescale(name, activation)
        readers = tensor.outputs if activation.everyone else self._integer_readers(tensor)
        if activation.everyone and is_output(self.model, tensor):
            # The name belongs to the model's users: the DQ writes it, the producer another.
            raw = Variable(self.model.new_name(f"{name}_float"))
            take_output(raw, producer := tensor.inputs[0], producer.outputs.index(tensor))
            result: Variable = tensor
        else:
            raw, result = tensor, Variable(self.model.new_name(f"{name}_dequantized"))
            replace_uses(tensor, result, list(readers))
        pair = self._pair(name, parameters)
        codes = self._quantize(name, raw, pair, parameters)
        self._add("DequantizeLinear", name, [codes, *pair], result, parameters)
        return Applied(name, f"passes through {parameters.scheme.qtype.storage}")

    def _quantize(
        self, name: str, raw: Tensor, pair: tuple[Constant, Constant], parameters: QParams
    ) -> Tensor:
        codes: Tensor = Variable(self.model.new_name(f"{name}_quantized"))
        narrow, as_bytes = _restricted(parameters), parameters.scheme.qtype.stored.bits == _BYTE
        if narrow and not as_bytes:
            raw = self._clip(name, raw, *_value_bounds(parameters))
        self._add("QuantizeLinear", name, [raw, *pair], codes, parameters)
        if narrow and as_bytes:
            codes = self._clip(name, codes, *_code_bounds(parameters))
        return codes

    def _rescale(self, name: str, activation: Activation) -> Event:
        """Let Q and DQ of different scales take the place of a Mul by a constant."""
        tensor, after = self.variables[name], self.parameters[name]
        mul = tensor.inputs[0]
        raw = next(t for t in mul.inputs if not isinstance(t, Constant))
        high = None if activation.high is None else activation.high / activation.gain
        before = replace(after, scale=_divided(after, activation.gain, high))
        codes = self._quantize(name, raw, self._pair(raw.name, before), before)
        # The DQ takes the place of the Mul, name and all.
        mul.op, mul.attrs, mul.source = "DequantizeLinear", {}, None
        mul.inputs = [codes, *self._pair(name, after)]
        return Applied(name, f"took '{mul.name}' (times {activation.gain:g}) into its scale")

    def _integer_readers(self, tensor: Tensor) -> list[Node]:
        return [n for n in tensor.outputs if self._reads_codes(n)]

    def _reads_codes(self, node: Node) -> bool:
        decision = self.plan.nodes.get(node.name)
        return isinstance(decision, Integer) and decision.reads_codes

    def _clip(self, name: str, tensor: Tensor, low: NDArray[Any], high: NDArray[Any]) -> Variable:
        """Keep codes within a width that ONNX has no type for (6 bits in int8, say)."""
        bounds = [
            constant(self.model.new_name(f"{name}_{end}"), bound)
            for end, bound in (("lowest", low), ("highest", high))
        ]
        output = Variable(self.model.new_name(f"{name}_clipped"))
        name = self.model.new_name(f"{name}_Clip")
        self.new_nodes.append(Node("Clip", name, [tensor, *bounds], [output]))
        return output


def _divided(after: QParams, gain: float, high: float | None) -> NDArray[Any]:
    """The scale before a gain, so small that no code decodes beyond `high`, where a Clip ends."""
    scale = np.float32(np.float64(after.scale) / gain)
    steps = np.float32(after.scheme.maximum - int(after.zero_point))
    half = after.scheme.half_scales
    if half:
        scale = np.float32(nearest_half(scale))
    while high is not None and steps * scale > np.float32(high):
        lower = np.nextafter(scale, np.float32(0))
        scale = np.float32(half_below(lower)) if half else lower
    return np.asarray(scale)


def _axis_attributes(parameters: QParams) -> dict[str, Any]:
    match parameters.scheme.granularity:
        case PerChannel(axis):
            return {"axis": axis}
        case PerBlock(axis, size):
            return {"axis": axis, "block_size": size}
        case _:
            return {}


def _restricted(parameters: QParams) -> bool:
    """Whether the codes allowed are fewer than the storage type holds."""
    scheme = parameters.scheme
    return scheme.qtype != scheme.qtype.stored or scheme.narrow_range


def _code_bounds(parameters: QParams) -> tuple[NDArray[Any], NDArray[Any]]:
    scheme = parameters.scheme
    storage = scheme.qtype.storage
    return np.asarray(scheme.minimum, storage), np.asarray(scheme.maximum, storage)


def _value_bounds(parameters: QParams) -> tuple[NDArray[Any], NDArray[Any]]:
    """The values of the outermost codes: engines clip floats and bytes, but no other integers."""
    scheme, zero = parameters.scheme, int(parameters.zero_point)
    low, high = scheme.minimum - zero, scheme.maximum - zero
    return np.asarray(low * parameters.scale), np.asarray(high * parameters.scale)
