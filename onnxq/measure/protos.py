"""Reading a `ModelProto` without its weights: files, graphs, nodes, constants, attributes.

The measurements read models that other tools wrote (the engine's optimized graphs among
them), with operators that no editor needs to understand, so they look at the file's own
structures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

from onnxq.errors import ModelError
from onnxq.graph import check_sound

ModelSource: TypeAlias = onnx.ModelProto | Path | str


def _known_types(*names: str) -> frozenset[int]:
    """Element types by name, those that an older onnx package does not know left out."""
    return frozenset(TensorProto.DataType.Value(n) for n in names if n in _TYPE_NAMES)


_TYPE_NAMES = frozenset(TensorProto.DataType.keys())
_TYPE_VALUES = frozenset(TensorProto.DataType.values())

FOUR_BITS: frozenset[int] = _known_types("INT4", "UINT4", "FLOAT4E2M1")
TWO_BITS: frozenset[int] = _known_types("INT2", "UINT2")
FLOAT_TYPES: frozenset[int] = _known_types(
    *("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "FLOAT4E2M1", "FLOAT8E4M3FN"),
    *("FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"),
)
# Element types that hold quantized values; int32 and int64 are biases, shapes and indices.
CODE_TYPES: frozenset[int] = _known_types(
    *("INT2", "UINT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16")
)

# Types narrower than a byte; every other type takes whole bytes.
_SUB_BYTE_BITS: dict[int, int] = dict.fromkeys(FOUR_BITS, 4) | dict.fromkeys(TWO_BITS, 2)


@dataclass(frozen=True)
class ConstantTensor:
    """A tensor whose value is in the file.

    Attributes:
        name: The name that consumers use (the output's name for a Constant node).
        dtype: TensorProto element type.
        shape: Dimensions; for a sparse tensor those of the dense tensor.
        stored: What lies in the file: the tensor, or a sparse tensor's values and indices.
    """

    name: str
    dtype: int
    shape: tuple[int, ...]
    stored: tuple[TensorProto, ...]

    @property
    def size(self) -> int:
        """Number of elements, zeros of a sparse tensor included."""
        return element_count(self.shape)

    def value(self, base_directory: Path | None) -> NDArray[Any]:
        """The stored elements: dense values, or only the non-zero ones of a sparse tensor.

        Raises:
            ModelError: if external data is missing or truncated.
        """
        tensor = self.stored[0]
        try:
            return numpy_helper.to_array(tensor, base_dir=str(base_directory or ""))
        except (OSError, RuntimeError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(
                "the value cannot be read",
                where=f"tensor '{self.name}'",
                why=str(error),
                remedy="keep the external data file beside the model",
            ) from error


def load_proto(source: ModelSource) -> onnx.ModelProto:
    """The model of a file, external data left on disk; a ModelProto is returned as it is.

    Raises:
        ModelError: if the file is missing, is no ONNX model, or is unsound.
    """
    if isinstance(source, onnx.ModelProto):
        return source
    path = Path(source)
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise ModelError("no such model file", where=str(path)) from error
    except (DecodeError, OSError) as error:
        raise ModelError(
            "the model cannot be read",
            where=str(path),
            why=str(error),
            remedy="check that the file is a complete ONNX model",
        ) from error
    check_sound(model, file=path)
    return model


def directory_of(source: ModelSource) -> Path | None:
    """Where a model's external data lies; None for a model that came without a file."""
    return None if isinstance(source, onnx.ModelProto) else Path(source).parent


def graphs(model: onnx.ModelProto) -> Iterator[GraphProto]:
    """The main graph, then every subgraph, depth first."""
    yield from _nested_graphs(model.graph)


def nodes(model: onnx.ModelProto) -> Iterator[NodeProto]:
    """Every node of the graphs, then those of the local functions (bodies included)."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        for node in function.node:
            yield from _with_body(node)


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs a control-flow node holds (If branches, Loop and Scan bodies)."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def constants(model: onnx.ModelProto) -> Iterator[ConstantTensor]:
    """Every initializer and every tensor held by a Constant node, each once."""
    for graph in graphs(model):
        yield from graph_initializers(graph)
    for node in nodes(model):
        if node.op_type == "Constant" and is_standard(node):
            yield from constant_of(node)


def stored_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """What holds the constants' values; a sparse one's values and indices."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        if node.op_type == "Constant" and is_standard(node):
            for constant in constant_of(node):
                yield from constant.stored


def graph_initializers(graph: GraphProto) -> Iterator[ConstantTensor]:
    """The dense and sparse initializers of one graph, not of its subgraphs."""
    for tensor in graph.initializer:
        yield ConstantTensor(tensor.name, tensor.data_type, tuple(tensor.dims), (tensor,))
    for sparse in graph.sparse_initializer:
        yield _sparse_constant(sparse.values.name, sparse)


def constant_of(node: NodeProto) -> Iterator[ConstantTensor]:
    """The tensor of a Constant node; numbers and strings written as attributes are none."""
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor = attribute.t
            dims = tuple(tensor.dims)
            yield ConstantTensor(node.output[0], tensor.data_type, dims, (tensor,))
        if attribute.name == "sparse_value":
            yield _sparse_constant(node.output[0], attribute.sparse_tensor)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attribute values by name; texts are decoded, references in functions left out."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute if not a.ref_attr_name}
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def is_standard(node: NodeProto) -> bool:
    """Whether the operator belongs to ONNX itself."""
    return node.domain in ("", "ai.onnx")


def describe(node: NodeProto) -> str:
    """A node as messages name it: `node 'conv1' (Conv)`, or by output if it has no name."""
    if node.name:
        return f"node '{node.name}' ({node.op_type})"
    output = next((name for name in node.output if name), "")
    return f"node of '{output}' ({node.op_type})"


@cache
def dtype_name(dtype: int) -> str:
    """Lower-case name of a TensorProto element type, such as `float32` or `int4`."""
    known = dtype in _TYPE_VALUES
    name = TensorProto.DataType.Name(dtype).lower() if known else f"type {dtype}"
    return {"float": "float32", "double": "float64"}.get(name, name)


def element_count(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape; 1 for a scalar."""
    count = 1
    for dimension in shape:
        count *= dimension
    return count


def tensor_bytes(tensor: TensorProto) -> int:
    """Bytes of a tensor's value without name and framing; sub-byte types count packed."""
    if tensor.data_type == TensorProto.STRING:
        return sum(len(text) for text in tensor.string_data)
    count = element_count(tuple(tensor.dims))
    bits = _SUB_BYTE_BITS.get(tensor.data_type)
    if bits is not None:
        return (count * bits + 7) // 8
    if tensor.data_type not in _TYPE_VALUES:
        return len(tensor.raw_data)
    return count * _element_bytes(tensor.data_type)


@cache
def _element_bytes(dtype: int) -> int:
    return int(helper.tensor_dtype_to_np_dtype(dtype).itemsize)


def _nested_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        if node.attribute:
            for body in bodies(node):
                yield from _nested_graphs(body)


def _with_body(node: NodeProto) -> Iterator[NodeProto]:
    yield node
    for body in bodies(node):
        for graph in _nested_graphs(body):
            yield from graph.node


def _sparse_constant(name: str, sparse: onnx.SparseTensorProto) -> ConstantTensor:
    dtype = sparse.values.data_type
    return ConstantTensor(name, dtype, tuple(sparse.dims), (sparse.values, sparse.indices))
