"""Looking up nodes, tensors and element types in a graph that ONNX Runtime optimized.

ONNX Runtime writes no types for inner tensors and its own operators have no ONNX schema,
so element types are carried forward from inputs, constants and zero points.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from onnxq.measure.protos import attributes


@dataclass(frozen=True, eq=False)
class OptimizedGraph:
    """Look-up tables of the main graph.

    Attributes:
        nodes: The nodes in the order of the file.
        writers: The node that writes each tensor.
        readers: The nodes that read each tensor, in order.
        outputs: Names of the graph's outputs.
        constants: Initializers by name.
        dtypes: TensorProto element type by tensor, where it could be told.
    """

    nodes: Sequence[NodeProto]
    writers: Mapping[str, NodeProto]
    readers: Mapping[str, Sequence[NodeProto]]
    outputs: frozenset[str]
    constants: Mapping[str, TensorProto] = field(repr=False)
    dtypes: Mapping[str, int] = field(repr=False)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> OptimizedGraph:
        """Build the tables of a model's main graph."""
        graph = model.graph
        writers = {name: node for node in graph.node for name in node.output if name}
        readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                readers[name].append(node)
        return cls(
            tuple(graph.node),
            writers,
            readers,
            frozenset(value.name for value in graph.output),
            {tensor.name: tensor for tensor in graph.initializer},
            _element_types(graph),
        )

    def read_by(self, name: str) -> Sequence[NodeProto]:
        """The nodes that read a tensor."""
        return self.readers.get(name, ())

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a small initializer (a scale, a zero point); None if there is none."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        return numpy_helper.to_array(tensor)

    def constant_input(self, node: NodeProto, index: int) -> NDArray[Any] | None:
        """The value of a node's constant input; None if absent or not constant."""
        if index >= len(node.input) or not node.input[index]:
            return None
        return self.constant(node.input[index])


def is_op(node: NodeProto | None, op_type: str) -> bool:
    """Whether a node is of this type, whichever domain the engine keeps it in."""
    return node is not None and node.op_type == op_type


def _element_types(graph: onnx.GraphProto) -> dict[str, int]:
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type:
            types[value.name] = value.type.tensor_type.elem_type
    for node in graph.node:
        dtype = _RULES.get(node.op_type, _like_first_input)(node, types)
        for index, name in enumerate(node.output):
            found = _OTHER_OUTPUTS.get((node.op_type, index), dtype)
            if name and found:
                types.setdefault(name, found)
    return types


_TypeRule = Callable[[NodeProto, Mapping[str, int]], int]


def _like_first_input(node: NodeProto, types: Mapping[str, int]) -> int:
    return types.get(node.input[0], 0) if node.input else 0


def _like_input(index: int, otherwise: int = 0) -> _TypeRule:
    def rule(node: NodeProto, types: Mapping[str, int]) -> int:
        name = node.input[index] if index < len(node.input) else ""
        return types.get(name, otherwise) if name else otherwise

    return rule


def _always(dtype: int) -> _TypeRule:
    return lambda _node, _types: dtype


def _from_attribute(name: str, otherwise: _TypeRule) -> _TypeRule:
    def rule(node: NodeProto, types: Mapping[str, int]) -> int:
        return int(attributes(node).get(name, 0)) or otherwise(node, types)

    return rule


def _constant_type(node: NodeProto, _types: Mapping[str, int]) -> int:
    value = attributes(node).get("value")
    if isinstance(value, TensorProto):
        return value.data_type
    return TensorProto.INT64 if "value_int" in node.attribute[0].name else TensorProto.FLOAT


_INDEX_OPERATORS = ("ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "Shape", "Size")
_TRUTH_OPERATORS = (
    *("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN"),
    *("Less", "LessOrEqual", "Not", "Or", "Xor"),
)


def _filled_type(node: NodeProto, _types: Mapping[str, int]) -> int:
    held = (a.t.data_type for a in node.attribute if a.name == "value")
    return next(held, TensorProto.FLOAT)


# Operators whose result differs in type from their first input.
_RULES: dict[str, _TypeRule] = {
    **dict.fromkeys(_INDEX_OPERATORS, _always(TensorProto.INT64)),
    **dict.fromkeys(_TRUTH_OPERATORS, _always(TensorProto.BOOL)),
    "Cast": _from_attribute("to", _like_first_input),
    "Constant": _constant_type,
    "ConstantOfShape": _filled_type,
    "ConvInteger": _always(TensorProto.INT32),
    "DequantizeLinear": _like_input(1),
    "DynamicQuantizeLinear": _always(TensorProto.UINT8),
    "GatherBlockQuantized": _always(TensorProto.FLOAT),
    "MatMulInteger": _always(TensorProto.INT32),
    "MatMulIntegerToFloat": _always(TensorProto.FLOAT),
    "OneHot": _like_input(2),
    "QGemm": _like_input(8, TensorProto.FLOAT),
    "QLinearConcat": _like_input(1),
    "QLinearWhere": _like_input(1),
    "QuantizeLinear": _from_attribute("output_dtype", _like_input(2, TensorProto.UINT8)),
    "Where": _like_input(1),
}
# Outputs beyond the first that are of another type than that.
_OTHER_OUTPUTS = {("DynamicQuantizeLinear", 1): TensorProto.FLOAT}
