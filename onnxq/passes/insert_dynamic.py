"""Matrix products that quantize their data with the range of each run.

    codes, s, z = DynamicQuantizeLinear(x)
    y = Cast(MatMulInteger(codes, W, z)) * (s * scale of W) + bias

1. MatMulInteger takes the name of the MatMul or Gemm; the last operator writes its tensor. The
   Add of a MatMul's bias stays where it is.
2. The weight of a Gemm with transB is stored transposed, a bias written [1, C] as [C].
3. Nodes that read one tensor share its codes: ONNX Runtime then quantizes it once.

ONNX Runtime fuses all of it, bias included, to DynamicQuantizeMatMul, or to one
MatMulIntegerToFloat for each reader of shared codes (observed with 1.31). The order of the
factors counts: with `scale of W * s` the quantization of x stays a node of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.graph import Constant, Model, Node, Tensor, Variable, constant, read
from onnxq.quant import Codes

_BIAS = 2


@dataclass(frozen=True)
class _RunTime:
    """What DynamicQuantizeLinear makes of a tensor."""

    codes: Variable
    scale: Variable
    zero_point: Variable


@dataclass
class DynamicProducts:
    """Turns MatMul and Gemm nodes of a model into integer products.

    Attributes:
        model: The model.
        store: Makes a constant of a weight's codes, one for all uses of the same.
        new_nodes: What was made, not yet part of the model.
    """

    model: Model
    store: Callable[[Constant, Codes], Constant]
    new_nodes: list[Node] = field(default_factory=list)
    _quantized: dict[int, _RunTime] = field(default_factory=dict)

    def convert(self, node: Node, weight: Constant, codes: Codes) -> None:
        """Let a MatMul or Gemm multiply integers.

        Args:
            node: The node; its data are float32, its alpha and beta 1 and its transA 0.
            weight: Its weight.
            codes: The integers of it, per tensor or per output channel.
        """
        name, result = node.name, node.outputs[0]
        bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
        stored = self.store(weight, codes)
        if node.attrs.get("transB", 0):
            stored = self._constant(f"{stored.name}_transposed", read(stored).T.copy())
        data, parameters = self._at_run_time(node.inputs[0]), codes.parameters
        sums, floats = self._variable(f"{name}_sums"), self._variable(f"{name}_unscaled")
        scale = self._variable(f"{name}_output_scale")
        node.op, node.attrs, node.source = "MatMulInteger", {}, None
        node.inputs = [data.codes, stored, data.zero_point]
        if parameters.zero_point.any():
            zero_point = self._constant(f"{weight.name}_zero_point", parameters.zero_point)
            node.inputs = [*node.inputs, zero_point]
        node.outputs = [sums]
        own = self._constant(f"{weight.name}_scale", parameters.scale)
        self._add("Cast", name, [sums], floats).attrs["to"] = TensorProto.FLOAT
        self._add("Mul", f"{name}_scale", [data.scale, own], scale)
        self._finish(name, [floats, scale], bias, result)

    def _finish(
        self, name: str, factors: list[Tensor], bias: Tensor | None, result: Tensor
    ) -> None:
        if bias is None or not bias.name:
            self._add("Mul", name, factors, result)
            return
        scaled = self._variable(f"{name}_scaled")
        self._add("Mul", name, factors, scaled)
        self._add("Add", name, [scaled, self._as_row(bias)], result)

    def _as_row(self, bias: Tensor) -> Tensor:
        shape = bias.stored.shape if isinstance(bias, Constant) else ()
        if not isinstance(bias, Constant) or bias.overridable or len(shape) < 2 or shape[0] != 1:
            return bias
        return self._constant(f"{bias.name}_row", read(bias).reshape(-1))

    def _at_run_time(self, tensor: Tensor) -> _RunTime:
        if id(tensor) not in self._quantized:
            names = (f"{tensor.name}_run_time_{part}" for part in ("codes", "scale", "zero_point"))
            made = _RunTime(*map(self._variable, names))
            outputs: list[Tensor] = [made.codes, made.scale, made.zero_point]
            name = self.model.new_name(f"{tensor.name}_DynamicQuantizeLinear")
            self.new_nodes.append(Node("DynamicQuantizeLinear", name, [tensor], outputs))
            self._quantized[id(tensor)] = made
        return self._quantized[id(tensor)]

    def _add(self, op: str, base: str, inputs: list[Tensor], output: Tensor) -> Node:
        node = Node(op, self.model.new_name(f"{base}_{op}"), inputs, [output])
        self.new_nodes.append(node)
        return node

    def _variable(self, base: str) -> Variable:
        return Variable(self.model.new_name(base))

    def _constant(self, base: str, value: NDArray[Any]) -> Constant:
        return constant(self.model.new_name(base), value)
