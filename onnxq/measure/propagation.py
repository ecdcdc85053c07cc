"""Shapes carried through a graph node by node, together with the values they depend on.

Exporters compute shapes inside the graph: Shape, Gather, Concat, then Reshape, Pad or
Expand. Whole-model inference loses the thread there. Here each node is inferred with the
values of its small inputs, and shape arithmetic is evaluated on the way, so that one pass
suffices once the inputs have fixed sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

from onnxq.graph import INFERENCE_ERRORS
from onnxq.measure.protos import attributes, bodies, describe, element_count, is_standard

Shape: TypeAlias = tuple[int, ...]

# Larger constants are weights: no shape depends on their values.
VALUE_LIMIT = 1024


@dataclass
class Scope:
    """What is known about the tensors of one graph and of the graphs around it.

    Attributes:
        model: The model, for its operator sets.
        types: Types by tensor, shapes included where known.
        values: Small tensors whose value is known.
        notes: What inference rejected.
    """

    model: onnx.ModelProto = field(repr=False)
    types: dict[str, TypeProto] = field(default_factory=dict, repr=False)
    values: dict[str, TensorProto] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)

    def enter(self, graph: GraphProto) -> Scope:
        """The scope inside a graph, with all of its nodes inferred."""
        inner = Scope(self.model, dict(self.types), dict(self.values), self.notes)
        for tensor in graph.initializer:
            inner.learn(tensor.name, tensor)
        for value in graph.input:
            inner.types.setdefault(value.name, value.type)
        declared = {v.name: v for v in (*graph.value_info, *graph.output)}
        for node in graph.node:
            inner.visit(node, declared)
        return inner

    def learn(self, name: str, tensor: TensorProto) -> None:
        """Take in a constant."""
        self.types[name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        if not is_large(tensor):
            self.values[name] = tensor

    def visit(self, node: NodeProto, declared: Mapping[str, ValueInfoProto]) -> None:
        """Infer the outputs of a node; what it cannot tell may be declared."""
        if node.op_type == "If" and is_standard(node):
            self._visit_branches(node)
        elif node.op_type == "Constant" and is_standard(node):
            self._visit_constant(node)
        else:
            self._infer(node)
            self._evaluate(node)
        for name in node.output:
            if name in declared and self.shape(name) is None:
                self.types[name] = declared[name].type

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor, None unless wholly known."""
        found = self.types.get(name)
        if found is None or not is_fixed(found):
            return None
        return tuple(d.dim_value for d in found.tensor_type.shape.dim)

    def shapes(self) -> dict[str, Shape]:
        """All wholly known shapes."""
        found = ((name, self.shape(name)) for name in self.types)
        return {name: shape for name, shape in found if shape is not None}

    def value(self, name: str) -> NDArray[Any] | None:
        """The value of a small tensor, if known."""
        tensor = self.values.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def branches(self, node: NodeProto) -> list[GraphProto]:
        """The branches of an If that may run: one if its condition is known."""
        condition = self.value(node.input[0])
        if condition is None or condition.size != 1:
            return list(bodies(node))
        taken = "then_branch" if condition.all() else "else_branch"
        return [a.g for a in node.attribute if a.name == taken]

    def _visit_branches(self, node: NodeProto) -> None:
        """An output of If has a known shape where all branches that may run agree."""
        branches = self.branches(node)
        inside = [self.enter(branch) for branch in branches]
        for index, name in enumerate(node.output):
            inner_names = [branch.output[index].name for branch in branches]
            shapes = {s.shape(n) for s, n in zip(inside, inner_names, strict=True)}
            if len(shapes) == 1 and None not in shapes:
                self.types[name] = inside[0].types[inner_names[0]]

    def _visit_constant(self, node: NodeProto) -> None:
        for name, value in attributes(node).items():
            if isinstance(value, TensorProto):
                self.learn(node.output[0], value)
            elif name in _NUMBER_ATTRIBUTES and isinstance(value, int | float | list):
                array = np.array(value, _NUMBER_ATTRIBUTES[name])
                self.learn(node.output[0], numpy_helper.from_array(array))

    def _infer(self, node: NodeProto) -> None:
        names = [name for name in node.input if name]
        if any(name not in self.types for name in names):
            return
        opsets = {entry.domain: entry.version for entry in self.model.opset_import}
        try:
            schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
            found = infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in names},
                {name: self.values[name] for name in names if name in self.values},
                opset_imports=list(self.model.opset_import),
                ir_version=self.model.ir_version,
            )
        except onnx.defs.SchemaError:
            return
        except INFERENCE_ERRORS as error:
            reason = str(error).strip() or type(error).__name__
            self.notes.append(f"{describe(node)}: {reason.splitlines()[0]}")
            return
        self.types.update({name: kind for name, kind in found.items() if name})

    def _evaluate(self, node: NodeProto) -> None:
        """Compute shape arithmetic whose inputs are known."""
        if not is_standard(node) or node.op_type not in _SHAPE_ARITHMETIC:
            return
        shapes = [self.shape(name) for name in node.output if name]
        if any(shape is None or element_count(shape) > VALUE_LIMIT for shape in shapes):
            return
        if node.op_type in ("Shape", "Size"):
            inputs = {node.input[0]: self._stand_in(node.input[0])}
        else:
            inputs = {name: self.value(name) for name in node.input if name}
        given = {name: value for name, value in inputs.items() if value is not None}
        if len(given) < len(inputs) or not given:
            return
        for name, value in _run(node, given, self.model).items():
            if isinstance(value, np.ndarray | np.generic) and value.size <= VALUE_LIMIT:
                self.values[name] = numpy_helper.from_array(np.asarray(value), name)

    def _stand_in(self, name: str) -> NDArray[Any] | None:
        """An array of a tensor's shape that takes no memory, for operators that only measure."""
        shape = self.shape(name)
        try:
            return None if shape is None else np.broadcast_to(np.float32(0), shape)
        except ValueError:
            return None  # More elements than addresses, or more dimensions than numpy has.


def is_fixed(kind: TypeProto) -> bool:
    """Whether a type is that of a tensor with a wholly known shape."""
    tensor = kind.tensor_type
    return tensor.HasField("shape") and all(map(is_number, tensor.shape.dim))


def is_number(dimension: onnx.TensorShapeProto.Dimension) -> bool:
    """Whether a dimension is a number, not a symbol or unknown."""
    return dimension.HasField("dim_value") and dimension.dim_value >= 0


def is_large(tensor: TensorProto) -> bool:
    """Whether a constant counts as a weight, whose value is not looked at."""
    count = element_count(tuple(tensor.dims))
    return count > VALUE_LIMIT or tensor.data_location == TensorProto.EXTERNAL


def _run(
    node: NodeProto, inputs: Mapping[str, NDArray[Any]], model: onnx.ModelProto
) -> dict[str, Any]:
    """The outputs of one node by onnx's reference implementation; empty if it fails."""
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_value_info(name, TypeProto()) for name in inputs],
        [helper.make_value_info(name, TypeProto()) for name in names],
    )
    single = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(single).run(None, dict(inputs))
    except _EVALUATION_ERRORS:
        return {}
    return dict(zip(names, results, strict=True))


# What the reference implementation raises on inputs that the operator does not take.
_EVALUATION_ERRORS = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    onnx.checker.ValidationError,
)
_NUMBER_ATTRIBUTES: dict[str, type[np.generic]] = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}
_SHAPE_ARITHMETIC = frozenset(
    {"Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "CumSum", "Div"}
    | {"Equal", "Expand", "Flatten", "Floor", "Gather", "GatherND", "Greater", "GreaterOrEqual"}
    | {"Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad"}
    | {"Pow", "Range", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round"}
    | {"ScatterND", "Shape", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile"}
    | {"Transpose", "Unsqueeze", "Where"}
)
