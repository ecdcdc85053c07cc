"""Bit operations: multiply-accumulates, each times the bits of both factors.

The measure of mixed-precision work on hardware whose multipliers scale with the width of both
operands (Baskin et al., UNIQ, arXiv:1804.10969, without their term for the accumulator).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper

from onnxq.measure.cost import Cost

_FLOAT_BITS = 32
_TRANSPARENT = frozenset({"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"})
_SUB_BYTE = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
_FACTORS = {
    "QLinearConv": (0, 3),
    "QLinearMatMul": (0, 3),
    "QGemm": (0, 3),
}
"""Where the two factors stand, if they are not the first two inputs."""


def count_bit_operations(proto: onnx.ModelProto, cost: Cost) -> int:
    """Sum over the counted nodes.

    Args:
        proto: The model.
        cost: Its multiply-accumulates.
    """
    known = {
        node.name or next(iter(node.output), ""): (node, widths)
        for graph in _graphs(proto.graph)
        for widths in (_Widths(graph),)
        for node in graph.node
    }
    total = 0
    for counted in cost.nodes:
        node, widths = known.get(counted.node, (None, None))
        if node is None or widths is None:
            total += counted.macs * _FLOAT_BITS**2
            continue
        first, second = widths.factors(node)
        total += counted.macs * first * second
    return total


class _Widths:
    """Bits of the tensors of a graph, as they are multiplied."""

    def __init__(self, graph: GraphProto) -> None:
        self._writers = {name: node for node in graph.node for name in node.output if name}
        self._types = _element_types(graph)

    def factors(self, node: NodeProto) -> tuple[int, int]:
        if node.op_type == "MatMulNBits":
            bits = next((a.i for a in node.attribute if a.name == "bits"), 4)
            return self._bits(node.input[0]), int(bits)
        first, second = _FACTORS.get(node.op_type, (0, 1))
        if len(node.input) <= second:
            return _FLOAT_BITS, _FLOAT_BITS
        return self._bits(node.input[first]), self._bits(node.input[second])

    def _bits(self, name: str) -> int:
        """Bits of a tensor, seen through DequantizeLinear to the codes."""
        seen: set[str] = set()
        while name in self._writers and name not in seen:
            seen.add(name)
            node = self._writers[name]
            if node.op_type == "DequantizeLinear":
                return self._bits_of_codes(node)
            if node.op_type not in _TRANSPARENT:
                break
            name = node.input[0]
        return _bits_of_type(self._types.get(name, TensorProto.FLOAT))

    def _bits_of_codes(self, node: NodeProto) -> int:
        """The bits of what is dequantized, or else of its zero point, which has the same type."""
        for name in (node.input[0], node.input[2] if len(node.input) > 2 else ""):
            if name in self._types:
                return _bits_of_type(self._types[name])
        return 8


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(body)


def _element_types(graph: GraphProto) -> Mapping[str, int]:
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type:
            types.setdefault(value.name, value.type.tensor_type.elem_type)
    for node in graph.node:
        value_of = next((a for a in node.attribute if a.name == "value" and a.HasField("t")), None)
        if node.op_type == "Constant" and value_of is not None:
            types[node.output[0]] = value_of.t.data_type
    return types


def _bits_of_type(data_type: int) -> int:
    name = TensorProto.DataType.Name(data_type)
    if name in _SUB_BYTE:
        return _SUB_BYTE[name]
    return int(helper.tensor_dtype_to_np_dtype(data_type).itemsize) * 8
