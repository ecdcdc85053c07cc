"""Is a model what ONNX calls one, as far as everything that reads it relies upon?

Files come from anywhere. What is found here is an error of the file, told once and in words, and
need not be expected by each rule. What only engines care for (types and shapes that fit each
other) is left to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from onnxq.errors import ModelError
from onnxq.graph.elements import element_type
from onnxq.graph.external import check_place
from onnxq.graph.sound_functions import check_function, check_functions
from onnxq.graph.sound_nodes import check_node
from onnxq.graph.sound_tensors import RawLength, check_sparse, check_tensor, raw_length

_HIGHEST_VERSION = 2**31 - 1
"""Versions are held in 32 bits by those who look operators up."""


def check_sound(
    model: onnx.ModelProto, *, stored: RawLength = raw_length, file: Path | None = None
) -> None:
    """Check a model as it was read from a file.

    Args:
        model: The model.
        stored: Bytes of a tensor's raw data, where these were left in the file.
        file: The file; weights beside it must lie in its folder.

    Raises:
        ModelError: names the first fault and where it is.
    """
    if not 0 <= model.ir_version <= _HIGHEST_VERSION:
        raise ModelError(
            f"version {model.ir_version} of the file format does not exist",
            remedy="export the model again",
        )
    _check_texts((model.producer_name, model.producer_version, model.domain, model.doc_string))
    domains = _domains(model.opset_import)
    check_functions(model)
    _Check(domains, stored, file, in_function=False).graph(model.graph)
    for function in model.functions:
        _check_names((function.name, function.domain, *function.input, *function.output))
        check_function(function)
        own = _domains(function.opset_import)
        _Check(own, stored, file, in_function=True).nodes(function.node)


def _domains(imports: Iterable[onnx.OperatorSetIdProto]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for entry in imports:
        _check_names((entry.domain,))
        if not 0 <= entry.version <= _HIGHEST_VERSION:
            raise ModelError(
                f"version {entry.version} of the operator set '{entry.domain}' does not exist",
                remedy="export the model again",
            )
        found["" if entry.domain == "ai.onnx" else entry.domain] = entry.version
    return found


@dataclass(frozen=True)
class _Check:
    """One walk over a graph and its bodies.

    Attributes:
        domains: Version of each operator set.
        stored: Bytes of a tensor's raw data.
        file: The model's file, if it has one.
        in_function: Whether attributes may refer to those of a function.
    """

    domains: Mapping[str, int]
    stored: RawLength
    file: Path | None
    in_function: bool

    def graph(self, graph: GraphProto) -> None:
        """Check a graph."""
        _check_texts((graph.name, graph.doc_string))
        for value in (*graph.input, *graph.output, *graph.value_info):
            _check_names((value.name,))
            _check_type(value.type)
        for tensor in graph.initializer:
            _check_names((tensor.name,))
            self._tensor(tensor)
        for sparse in graph.sparse_initializer:
            _check_names((sparse.values.name,))
            check_sparse(sparse)
        self.nodes(graph.node)

    def nodes(self, nodes: Iterable[NodeProto]) -> None:
        """Check nodes and what they hold."""
        for node in nodes:
            _check_names((node.name, node.op_type, node.domain, *node.input, *node.output))
            _check_texts((node.doc_string,))
            check_node(node, self.domains)
            for attribute in node.attribute:
                self._attribute(attribute, node)

    def _tensor(self, tensor: TensorProto) -> None:
        check_tensor(tensor, self.stored)
        if tensor.data_location == TensorProto.EXTERNAL and self.file is not None:
            check_place(tensor, self.file)

    def _attribute(self, attribute: AttributeProto, node: NodeProto) -> None:
        _check_names((attribute.name, attribute.ref_attr_name))
        if attribute.ref_attr_name and not self.in_function:
            raise ModelError(
                f"the attribute '{attribute.name}' refers to one of a function",
                where=f"node '{node.name}' ({node.op_type})",
                why="the node is in no function",
                remedy="export the model again",
            )
        tensors = [*attribute.tensors]
        sparses = [*attribute.sparse_tensors]
        graphs = [*attribute.graphs]
        # Looking into what is not there would create it, for thousands of attributes.
        for field, found in (("t", tensors), ("sparse_tensor", sparses), ("g", graphs)):
            if attribute.HasField(field):
                found.append(getattr(attribute, field))
        for tensor in tensors:
            self._tensor(tensor)
        for sparse in sparses:
            check_sparse(sparse)
        for graph in graphs:
            self.graph(graph)


def _check_type(kind: onnx.TypeProto) -> None:
    """Check element types and names of dimensions of a declaration, however deep they lie."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(kind, which)
        if tensor.elem_type:
            element_type(tensor.elem_type)
        _check_names(dimension.dim_param for dimension in tensor.shape.dim)
    elif which in ("sequence_type", "optional_type"):
        _check_type(getattr(kind, which).elem_type)
    elif which == "map_type":
        _check_type(kind.map_type.value_type)


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        # Texts that are no UTF-8 are read as bytes.
        if not isinstance(text, str):
            raise ModelError(
                "is damaged", why="one of its texts is not UTF-8", remedy="export or copy it again"
            )


def _check_names(names: Iterable[str]) -> None:
    """Refuse names that terminals, logs and reports would take for commands or new lines."""
    for name in names:
        if not isinstance(name, str) or not name.isprintable():
            raise ModelError(
                "a name holds characters that cannot be printed",
                where=ascii(name[:80]),
                why="terminals and reports would take them for commands",
                remedy="rename it",
            )
