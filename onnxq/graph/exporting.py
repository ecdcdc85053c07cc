"""graphsurgeon graph → GraphProto: what was not edited comes out as it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import TypeGuard

import onnx
from onnx import helper, numpy_helper

from onnxq.graph.attributes import encode
from onnxq.graph.elements import LARGE_TENSOR, Constant, Node, Stored, Tensor, Variable
from onnxq.graph.importing import Graph, declared_type

ConstantProto = onnx.TensorProto | onnx.SparseTensorProto
WriteConstant = Callable[[Constant], ConstantProto]
"""Turns initializers, and large tensors in attributes, into their protos."""


def inline_constant(tensor: Constant) -> ConstantProto:
    """The proto of a constant with its value inside; the file's own if it was not replaced."""
    stored = tensor.stored
    if isinstance(stored, Stored):
        return stored.tensor
    return numpy_helper.from_array(stored, tensor.name)


def export_main(
    target: onnx.GraphProto, graph: Graph, write: WriteConstant, *, list_defaults: bool
) -> None:
    """Write a model's main graph into an empty GraphProto.

    Args:
        target: The proto that becomes the graph.
        graph: The main graph; constants that edits brought in, wherever they are read, are
            stored in it.
        write: Turns an initializer into its proto (value inside, or pointing elsewhere).
        list_defaults: Keep initializers in the list of inputs where the file had them there.
    """
    used = _used(graph)
    _export(target, graph, _new_constants(graph, used), used, write, list_defaults)


def has_new_constants(graph: Graph) -> bool:
    """Whether a main graph reads constants that the file did not list among its inputs."""
    return bool(_new_constants(graph, _used(graph)))


def _new_constants(graph: Graph, used: dict[int, Tensor]) -> list[Constant]:
    """Constants that edits brought in: they stand in no graph's list of initializers yet."""
    stored = {id(c) for g in every_graph(graph) for c in g.initializers.values()}
    return [t for t in used.values() if isinstance(t, Constant) and id(t) not in stored]


def every_graph(graph: Graph) -> Iterator[Graph]:
    """A graph and all bodies inside it."""
    yield graph
    for node in graph.nodes:
        if node.attrs:
            for body in bodies(node):
                yield from every_graph(body)


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of all bodies inside it."""
    for inner in every_graph(graph):
        yield from inner.nodes


def bodies(node: Node) -> list[Graph]:
    """The subgraphs in a node's attributes (If, Loop, Scan)."""
    if not node.attrs:
        return []
    return [value for value in node.attrs.values() if isinstance(value, Graph)]


def _used(graph: Graph) -> dict[int, Tensor]:
    """Tensors that some node reads or some graph returns, by identity, in order of use."""
    used: dict[int, Tensor] = {}
    for inner in every_graph(graph):
        for node in inner.nodes:
            for tensor in node.inputs:
                if tensor.name:
                    used[id(tensor)] = tensor
        used.update((id(t), t) for t in inner.outputs)
    return used


def _export(
    proto: onnx.GraphProto,
    graph: Graph,
    new: Iterable[Constant],
    used: dict[int, Tensor],
    write: WriteConstant,
    list_defaults: bool,
) -> None:
    proto.CopyFrom(graph.source)
    for field in ("input", "output", "value_info"):
        proto.ClearField(field)
    nodes = proto.node
    for node in graph.nodes:
        _export_node(nodes.add(), node, used, write, list_defaults)
    kept = [c for n, c in graph.initializers.items() if id(c) in used or n in graph.spare]
    for tensor in (*kept, *new):
        _add_constant(proto, tensor, write)
    defaults = {c.name for c in kept if c.listed} if list_defaults else set()
    proto.input.extend(_inputs(graph, defaults))
    proto.output.extend(_outputs(graph))
    proto.value_info.extend(_value_info(graph, {c.name for c in kept}))


def _export_node(
    proto: onnx.NodeProto,
    node: Node,
    used: dict[int, Tensor],
    write: WriteConstant,
    list_defaults: bool,
) -> None:
    if node.source is not None:
        proto.CopyFrom(node.source)
    if node.source is None or node.op != node.source.op_type:
        proto.op_type = node.op
    if node.name != node.given_name:
        proto.name = node.name
    if node.domain is not None:
        proto.domain = node.domain
    inputs, outputs = [t.name for t in node.inputs], [t.name for t in node.outputs]
    if node.source is None or node.read_as != (inputs, outputs):
        _replace(proto.input, inputs)
        _replace(proto.output, outputs)
    if node.attrs or proto.attribute:
        _export_attributes(proto, node, used, write, list_defaults)


def _replace(field: MutableSequence[str], names: Iterable[str]) -> None:
    del field[:]
    field.extend(names)


def _export_attributes(
    proto: onnx.NodeProto,
    node: Node,
    used: dict[int, Tensor],
    write: WriteConstant,
    list_defaults: bool,
) -> None:
    proto.ClearField("attribute")
    sources = {a.name: a for a in node.source.attribute} if node.source is not None else {}
    for name, value in node.attrs.items():
        source = sources.get(name)
        large = write is not inline_constant and _is_large(value)
        if not large and not isinstance(value, Graph):
            proto.attribute.add().CopyFrom(encode(name, value, source))
            continue
        attribute = proto.attribute.add(name=name)
        if source is not None and source.doc_string:
            attribute.doc_string = source.doc_string
        if large:
            attribute.type = onnx.AttributeProto.TENSOR
            written = write(value)
            assert isinstance(written, onnx.TensorProto)
            attribute.t.CopyFrom(written)
        else:
            attribute.type = onnx.AttributeProto.GRAPH
            _export(attribute.g, value, (), used, write, list_defaults)


def _is_large(value: object) -> TypeGuard[Constant]:
    """Whether an attribute holds a tensor that not every writer wants to see the value of."""
    if not isinstance(value, Constant) or value.stored.nbytes < LARGE_TENSOR:
        return False
    return not (isinstance(value.stored, Stored) and value.stored.sparse)


def _add_constant(proto: onnx.GraphProto, tensor: Constant, write: WriteConstant) -> None:
    value = write(tensor)
    if isinstance(value, onnx.SparseTensorProto):
        proto.sparse_initializer.add().CopyFrom(value)
        proto.sparse_initializer[-1].values.name = tensor.name
        return
    added = proto.initializer.add()
    added.CopyFrom(value)
    if added.name != tensor.name:
        added.name = tensor.name


def _inputs(graph: Graph, defaults: set[str]) -> Iterator[onnx.ValueInfoProto]:
    """The inputs in the file's order, with the initializers that are listed among them."""
    variables = {t.name: t for t in graph.inputs}
    for value in graph.source.input:
        if value.name in variables:
            yield describe(variables.pop(value.name))
        elif value.name in defaults:
            yield value
    yield from (describe(t) for t in variables.values())


def _outputs(graph: Graph) -> Iterator[onnx.ValueInfoProto]:
    declared = {value.name: value for value in graph.source.output}
    for tensor in graph.outputs:
        known = declared.get(tensor.name)
        if known is not None and (isinstance(tensor, Constant) or tensor.source is None):
            yield known
        else:
            yield describe(tensor)


def _value_info(graph: Graph, constants: set[str]) -> Iterator[onnx.ValueInfoProto]:
    """Declarations of inner tensors: the file's, in its order, then those that edits know."""
    produced = {t.name: t for node in graph.nodes for t in node.outputs if t.name}
    interface = {t.name for t in (*graph.inputs, *graph.outputs)}
    listed = {value.name for value in graph.source.value_info}
    alive = constants | interface
    for value in graph.source.value_info:
        tensor = produced.get(value.name)
        if tensor is not None and value.name not in interface:
            yield describe(tensor)
        elif value.name in alive:
            yield value
    for name, tensor in produced.items():
        if name not in listed and name not in interface and tensor.dtype is not None:
            yield describe(tensor)


def describe(tensor: Tensor) -> onnx.ValueInfoProto:
    """The declaration of a tensor: the file's own unless type, shape or name were edited."""
    dtype, shape = tensor.dtype, tensor.shape
    source = tensor.source if isinstance(tensor, Variable) else None
    if source is not None and declared_type(source) == (dtype, shape):
        if source.name == tensor.name:
            return source
        renamed = onnx.ValueInfoProto()
        renamed.CopyFrom(source)
        renamed.name = tensor.name
        return renamed
    if dtype is None:
        return onnx.ValueInfoProto(name=tensor.name)
    return helper.make_tensor_value_info(tensor.name, helper.np_dtype_to_tensor_dtype(dtype), shape)
