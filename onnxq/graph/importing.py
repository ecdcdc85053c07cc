"""GraphProto → graphsurgeon graph, without losing anything.

What the editing layer has no place for stays in the protos, which every element remembers
as its `source`; `exporting` starts from them.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from google.protobuf.message import Message
from onnx import AttributeProto

from onnxq.graph.attributes import decode
from onnxq.graph.elements import Constant, Node, Stored, Tensor, Variable, element_type

Scope = ChainMap[str, Tensor]

_REMEMBERED_TYPES = 4096


class Graph(gs.Graph):  # type: ignore[misc]
    """A graph or subgraph body.

    Attributes:
        source: The GraphProto's own fields (name, documentation, metadata, annotations …);
            nodes, tensors, inputs and outputs live in the graph.
        initializers: The constants stored in this graph, by name, in file order.
        spare: Names of those that nothing read when the file was loaded; they are kept.
    """

    nodes: list[Node]
    inputs: list[Variable]
    outputs: list[Tensor]

    def __init__(self, source: onnx.GraphProto, opset: int) -> None:
        super().__init__(opset=opset, name=source.name, doc_string=source.doc_string)
        self.source = source
        self.initializers: dict[str, Constant] = {}
        self.spare: frozenset[str] = frozenset()


def import_graph(
    proto: onnx.GraphProto,
    *,
    opset: int,
    ir_version: int,
    base_directory: Path | None = None,
    outer: Scope | None = None,
) -> Graph:
    """Build the editable graph of `proto`, which is referenced, not copied.

    Args:
        proto: The graph as read from a file.
        opset: Version of the default operator set.
        ir_version: Before 4, initializers had to be listed as inputs; from 4 on, such a
            listing makes them defaults that a caller may override.
        base_directory: The folder of external data.
        outer: Tensors of the enclosing graph, visible to a body.
    """
    graph = Graph(_own_fields(proto), opset)
    scope: Scope = ChainMap() if outer is None else outer.new_child()
    listed = {value.name for value in proto.input}
    for name, stored in _initializers(proto, base_directory):
        is_default = name in listed and ir_version >= 4
        tensor = Constant(name, stored, listed=name in listed, overridable=is_default)
        graph.initializers[name] = scope[name] = tensor
    graph.inputs = [
        _declare(scope, value) for value in proto.input if value.name not in graph.initializers
    ]
    # Bodies may capture what is produced further down, and may reuse names of the outer graph.
    computed = {name for node in proto.node for name in node.output if name}
    for value in proto.value_info:
        if value.name in computed:
            _declare(scope, value)
    declared = [_declare_output(scope, value) for value in proto.output]
    for name in computed.difference(scope.maps[0]):
        scope.maps[0][name] = Variable(name)
    graph.nodes = [
        _import_node(node, scope, opset, ir_version, base_directory) for node in proto.node
    ]
    graph.outputs = declared
    graph.spare = frozenset(name for name, c in graph.initializers.items() if not c.outputs)
    return graph


def _own_fields(proto: onnx.GraphProto) -> onnx.GraphProto:
    """Everything of a graph but its nodes and weights.

    The listing of inputs stays: it says which initializers are overridable.
    """
    own = onnx.GraphProto()
    copy_fields(proto, own, skip={"node", "initializer", "sparse_initializer"})
    return own


def copy_fields(source: Message, target: Message, skip: set[str]) -> None:
    """Copy the fields that are set, but for those in `skip`, which may be large."""
    for field, value in source.ListFields():
        if field.name in skip:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _initializers(
    proto: onnx.GraphProto, base_directory: Path | None
) -> Iterator[tuple[str, Stored]]:
    for tensor in proto.initializer:
        yield tensor.name, Stored(tensor, base_directory)
    for sparse in proto.sparse_initializer:
        yield sparse.values.name, Stored(sparse, base_directory)


def _declare(scope: Scope, value: onnx.ValueInfoProto) -> Variable:
    """A variable of this graph's own scope; the first declaration of a name counts."""
    known = scope.maps[0].get(value.name)
    if isinstance(known, Variable):
        return known
    variable = Variable(value.name, *declared_type(value), source=value)
    scope[value.name] = variable
    return variable


def _declare_output(scope: Scope, value: onnx.ValueInfoProto) -> Tensor:
    """A graph output may be a constant, an input, or what a node of the same graph computes."""
    known = scope.get(value.name)
    if isinstance(known, Constant):
        return known
    return _declare(scope, value)


def declared_type(
    value: onnx.ValueInfoProto,
) -> tuple[np.dtype[Any] | None, tuple[int | str | None, ...] | None]:
    """Element type and shape of a declaration; None where it says nothing."""
    # A graph has thousands of declarations and a few types.
    return _type_of(value.type.SerializeToString())


@lru_cache(maxsize=_REMEMBERED_TYPES)
def _type_of(
    serialized: bytes,
) -> tuple[np.dtype[Any] | None, tuple[int | str | None, ...] | None]:
    declared = onnx.TypeProto.FromString(serialized)
    if not declared.HasField("tensor_type"):
        return None, None
    tensor = declared.tensor_type
    dtype = element_type(tensor.elem_type) if tensor.elem_type else None
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(
        d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim
    )


def _import_node(
    proto: onnx.NodeProto, scope: Scope, opset: int, ir_version: int, base_directory: Path | None
) -> Node:
    attributes = {
        a.name: import_graph(
            a.g, opset=opset, ir_version=ir_version, base_directory=base_directory, outer=scope
        )
        if a.type == AttributeProto.GRAPH and not a.ref_attr_name
        else decode(a, base_directory)
        for a in proto.attribute
    }
    inputs, outputs = list(proto.input), list(proto.output)
    node = Node(
        proto.op_type,
        proto.name,
        [_find(name, scope) for name in inputs],
        [_find(name, scope, own=True) for name in outputs],
        attributes,
        proto.domain if proto.HasField("domain") else None,
        source=proto,
    )
    node.read_as = inputs, outputs
    return node


def _find(name: str, scope: Scope, *, own: bool = False) -> Tensor:
    """The tensor of that name, of this graph's own or else of one around it; made if need be."""
    if not name:
        return Variable("")
    innermost = scope.maps[0]
    known = innermost.get(name)
    if known is None and not own:
        known = scope.get(name)
    if known is None:
        known = innermost[name] = Variable(name)
    return known
