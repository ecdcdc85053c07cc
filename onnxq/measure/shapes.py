"""Static shapes of every tensor, for counting work and memory.

Symbolic dimensions are replaced by numbers beforehand, because an inferred expression such
as `2*N` would lose its name. No weight is looked at or copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, inliner
from onnx.shape_inference import infer_shapes

from onnxq.graph import INFERENCE_ERRORS
from onnxq.measure.propagation import Scope, Shape, is_fixed, is_large, is_number
from onnxq.measure.protos import graphs, nodes


@dataclass(frozen=True)
class StaticShapes:
    """The result of shape inference with every free dimension fixed.

    Attributes:
        model: The model without its large values, functions inlined.
        scope: What is known inside the main graph; `scope.enter` leads into its bodies.
        assumed: Symbolic dimensions that were not given and were taken as 1.
    """

    model: onnx.ModelProto = field(repr=False)
    scope: Scope = field(repr=False)
    assumed: tuple[str, ...] = ()

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape by tensor name in the main graph, only those wholly known."""
        return self.scope.shapes()

    @property
    def note(self) -> str:
        """The first thing that shape inference rejected, empty if it took everything."""
        return next(iter(self.scope.notes), "")


def static_shapes(
    source: onnx.ModelProto,
    dimensions: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
) -> StaticShapes:
    """Infer the shape of every tensor that has one.

    Args:
        source: The model; it is not changed and its weights are not copied.
        dimensions: Values of symbolic dimensions; a missing one is taken as 1.
        input_shapes: Whole shapes of graph inputs; they win over `dimensions`.

    Returns:
        The shapes. A model that shape inference rejects in places still yields the others,
        and `note` says what was wrong.
    """
    model = without_values(source)
    if model.functions:
        model = inliner.inline_local_functions(model)
    given = dict(dimensions or {}) | _bound_symbols(model.graph, input_shapes or {})
    _fix_inputs(model.graph, input_shapes or {})
    assumed = _fix_dimensions(model.graph, given)
    inferred = _infer_whole(model)
    return StaticShapes(inferred, Scope(inferred).enter(inferred.graph), assumed)


def without_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large constants keep only their type and dimensions."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    _copy_graph(model.graph, light.graph)
    for node in nodes(light):
        for attribute in node.attribute:
            if attribute.HasField("t") and is_large(attribute.t):
                _clear_value(attribute.t)
    for graph in graphs(light):
        for tensor in filter(is_large, graph.initializer):
            _clear_value(tensor)
    return light


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """The node that writes each tensor of one graph."""
    return {name: node for node in graph.node for name in node.output if name}


def _copy_graph(source: GraphProto, target: GraphProto) -> None:
    target.name = source.name
    target.node.extend(source.node)
    target.input.extend(source.input)
    target.output.extend(source.output)
    target.value_info.extend(source.value_info)
    for tensor in source.initializer:
        if is_large(tensor):
            target.initializer.append(_hollow(tensor))
        else:
            target.initializer.append(tensor)
    for sparse in source.sparse_initializer:
        stub = _hollow(sparse.values)
        del stub.dims[:]
        stub.dims.extend(sparse.dims)
        target.initializer.append(stub)


def _hollow(tensor: TensorProto) -> TensorProto:
    """Name, type and dimensions of a tensor, marked as having its value elsewhere."""
    return TensorProto(
        name=tensor.name,
        data_type=tensor.data_type,
        dims=tensor.dims,
        data_location=TensorProto.EXTERNAL,
    )


def _clear_value(tensor: TensorProto) -> None:
    tensor.CopyFrom(_hollow(tensor))


def _bound_symbols(graph: GraphProto, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Values of the symbols that whole input shapes determine."""
    bound: dict[str, int] = {}
    for value in graph.input:
        sizes = shapes.get(value.name, ())
        for dimension, size in zip(value.type.tensor_type.shape.dim, sizes, strict=False):
            if dimension.dim_param:
                bound.setdefault(dimension.dim_param, size)
    return bound


def _fix_inputs(graph: GraphProto, shapes: Mapping[str, Shape]) -> None:
    for value in graph.input:
        if value.name not in shapes:
            continue
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        shape.SetInParent()
        for size in shapes[value.name]:
            shape.dim.add(dim_value=size)


def _fix_dimensions(graph: GraphProto, given: Mapping[str, int]) -> tuple[str, ...]:
    """Replace symbols by numbers; unnamed dimensions only where the graph is fed."""
    assumed: set[str] = set()
    constants = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        for axis, dimension in _free_dimensions(value):
            symbol = dimension.dim_param
            if symbol not in given and value.name not in constants:
                assumed.add(symbol or f"{value.name}[{axis}]")
            dimension.dim_value = given.get(symbol, 1)
    numbers = dict.fromkeys(assumed, 1) | dict(given)
    for value in (*graph.output, *graph.value_info):
        for _, dimension in _free_dimensions(value):
            if dimension.dim_param in numbers:
                dimension.dim_value = numbers[dimension.dim_param]
    return tuple(sorted(assumed))


def _free_dimensions(
    value: ValueInfoProto,
) -> Iterator[tuple[int, onnx.TensorShapeProto.Dimension]]:
    for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
        if not is_number(dimension):
            yield axis, dimension


def _infer_whole(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types that onnx infers; declarations fill what inference leaves.

    Exporters declare wrong shapes of outputs, and shape inference would believe them.
    """
    declared = [*model.graph.value_info, *model.graph.output]
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = infer_shapes(bare, data_prop=True)
    except INFERENCE_ERRORS:
        inferred = bare
    told = (*inferred.graph.value_info, *inferred.graph.output)
    known = {value.name for value in told if is_fixed(value.type)}
    inferred.graph.value_info.extend(value for value in declared if value.name not in known)
    return inferred
