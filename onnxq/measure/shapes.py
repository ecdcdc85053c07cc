"""Static shapes of every tensor, for counting work and memory.

Shape inference needs the values of small tensors only (targets of Reshape, axes), so it
runs on a copy whose large values are left out. Symbolic dimensions are replaced by
numbers beforehand, because an inferred expression such as `2*N` would lose its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, inliner
from onnx.shape_inference import InferenceError, infer_shapes

from onnxq.measure.protos import element_count, graph_initializers, graphs, nodes

Shape = tuple[int, ...]

# Larger constants are weights: no shape depends on their values.
_SHAPE_VALUE_LIMIT = 1024


@dataclass(frozen=True)
class StaticShapes:
    """The result of shape inference with every free dimension fixed.

    Attributes:
        model: The model without its large values, functions inlined; bodies of control
            flow carry the shapes of their own tensors.
        shapes: Shape by tensor name in the main graph, only those wholly known.
        assumed: Symbolic dimensions that were not given and were taken as 1.
        note: Why shape inference failed, empty if it did not.
    """

    model: onnx.ModelProto = field(repr=False)
    shapes: Mapping[str, Shape] = field(repr=False)
    assumed: tuple[str, ...] = ()
    note: str = ""


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
        The shapes. A model that shape inference rejects still yields the shapes it
        declares, and `note` says what was wrong.
    """
    model = without_values(source)
    if model.functions:
        model = inliner.inline_local_functions(model)
    given = dict(dimensions or {}) | _bound_symbols(model.graph, input_shapes or {})
    _fix_inputs(model.graph, input_shapes or {})
    assumed = _fix_dimensions(model.graph, given)
    inferred, note = _infer(model)
    return StaticShapes(inferred, known_shapes(inferred.graph), assumed, note)


def known_shapes(graph: GraphProto) -> dict[str, Shape]:
    """Wholly known shapes in one graph: declared or inferred values, and constants."""
    found = {tensor.name: tensor.shape for tensor in graph_initializers(graph)}
    for value in _declared(graph):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(_is_fixed(d) for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found


def without_values(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large constants keep only their type and dimensions."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    _copy_graph(model.graph, light.graph)
    for node in nodes(light):
        for attribute in node.attribute:
            if attribute.HasField("t") and _is_large(attribute.t):
                _clear_value(attribute.t)
    for graph in graphs(light):
        for tensor in filter(_is_large, graph.initializer):
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
        if _is_large(tensor):
            dims, name = tensor.dims, tensor.name
            target.initializer.add(name=name, data_type=tensor.data_type, dims=dims)
        else:
            target.initializer.append(tensor)
    for sparse in source.sparse_initializer:
        name, dtype = sparse.values.name, sparse.values.data_type
        target.initializer.add(name=name, data_type=dtype, dims=sparse.dims)


def _is_large(tensor: TensorProto) -> bool:
    count = element_count(tuple(tensor.dims))
    return count > _SHAPE_VALUE_LIMIT or tensor.data_location == TensorProto.EXTERNAL


def _clear_value(tensor: TensorProto) -> None:
    name, dtype, dims = tensor.name, tensor.data_type, list(tensor.dims)
    tensor.Clear()
    tensor.name, tensor.data_type = name, dtype
    tensor.dims.extend(dims)


def _declared(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from graph.input
    yield from graph.output
    yield from graph.value_info


def _is_fixed(dimension: onnx.TensorShapeProto.Dimension) -> bool:
    return dimension.HasField("dim_value") and dimension.dim_value >= 0


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
    constant_names = {tensor.name for tensor in graph_initializers(graph)}
    fed = [value for value in graph.input if value.name not in constant_names]
    for value in fed:
        for axis, dimension in _free_dimensions(value.type):
            symbol = dimension.dim_param
            if symbol not in given:
                assumed.add(symbol or f"{value.name}[{axis}]")
            dimension.dim_value = given.get(symbol, 1)
    numbers = dict.fromkeys(assumed, 1) | dict(given)
    for value in (*graph.output, *graph.value_info):
        for _, dimension in _free_dimensions(value.type):
            if dimension.dim_param in numbers:
                dimension.dim_value = numbers[dimension.dim_param]
    return tuple(sorted(assumed))


def _free_dimensions(
    declared: TypeProto,
) -> Iterator[tuple[int, onnx.TensorShapeProto.Dimension]]:
    for axis, dimension in enumerate(declared.tensor_type.shape.dim):
        if not _is_fixed(dimension):
            yield axis, dimension


def _infer(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Infer with the declared shapes, then without them, for a declaration may be wrong."""
    try:
        return infer_shapes(model, data_prop=True), ""
    except InferenceError as error:
        first = str(error)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return infer_shapes(bare, data_prop=True), ""
    except InferenceError:
        return model, _first_line(first)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "shape inference failed"
