"""A model: an editable graph, and beside it everything of the file that is not graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnxq.errors import ModelError
from onnxq.graph.elements import Constant, Node, Stored, Tensor, Variable, read
from onnxq.graph.exporting import (
    WriteConstant,
    every_graph,
    every_node,
    export_main,
    has_new_constants,
    inline_constant,
)
from onnxq.graph.importing import Graph, copy_fields, import_graph


class Model:
    """An ONNX model open for editing.

    Attributes:
        graph: The onnx-graphsurgeon graph. Its nodes are `Node`, its tensors `Variable` and
            `Constant`; two of them are equal only if they are the same object.
        header: The ModelProto without its graph: versions, domains, metadata, functions.
    """

    def __init__(self, proto: onnx.ModelProto, base_directory: Path | None = None) -> None:
        """Open `proto`. Its tensors are referenced, so it must not be changed afterwards.

        Args:
            proto: The model.
            base_directory: The folder where its external data lies.

        Raises:
            ModelError: if the proto declares no version of the default operator set.
        """
        self._names: set[str] | None = None
        self._serial: dict[str, int] = {}
        self._open(proto, base_directory)

    def _open(self, proto: onnx.ModelProto, base_directory: Path | None) -> None:
        self.base_directory = base_directory
        self.header = onnx.ModelProto()
        copy_fields(proto, self.header, skip={"graph"})
        self.graph: Graph = import_graph(
            proto.graph,
            opset=self.opset,
            ir_version=proto.ir_version,
            base_directory=base_directory,
        )
        self._names = None
        _name_nodes(self.graph)

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        for entry in self.header.opset_import:
            if entry.domain in ("", "ai.onnx"):
                return int(entry.version)
        if self.header.opset_import:
            return 1
        raise ModelError(
            "no operator set is declared",
            why="opset_import is empty",
            remedy="this is not a complete ONNX model; export it again",
        )

    @property
    def domains(self) -> dict[str, int]:
        """Version of every imported operator set, by domain ('' is ONNX itself)."""
        return {entry.domain: int(entry.version) for entry in self.header.opset_import}

    @property
    def nodes(self) -> list[Node]:
        """Nodes of the main graph, in topological order."""
        return self.graph.nodes

    @property
    def inputs(self) -> list[Variable]:
        """Inputs of the model."""
        return self.graph.inputs

    @property
    def outputs(self) -> list[Tensor]:
        """Outputs of the model."""
        return self.graph.outputs

    @property
    def all_nodes(self) -> Iterator[Node]:
        """Nodes of the main graph and of every body inside it."""
        return every_node(self.graph)

    @property
    def constants(self) -> list[Constant]:
        """Every constant that the file will hold: read by some node, returned, or kept unused."""
        found: dict[int, Constant] = {}
        for graph in every_graph(self.graph):
            for node in graph.nodes:
                for tensor in node.inputs:
                    if isinstance(tensor, Constant):
                        found[id(tensor)] = tensor
            found.update((id(t), t) for t in graph.outputs if isinstance(t, Constant))
            spare = (graph.initializers[name] for name in graph.spare)
            found.update((id(c), c) for c in spare)
        return list(found.values())

    @property
    def variables(self) -> dict[str, Variable]:
        """Inputs and computed tensors of the main graph, by name, in topological order."""
        found = {t.name: t for t in self.inputs}
        for node in self.nodes:
            found.update((t.name, t) for t in node.outputs if t.name and isinstance(t, Variable))
        return found

    def new_name(self, wanted: str) -> str:
        """A name no tensor or node bears: `wanted`, or `wanted_2`, `wanted_3` and so on."""
        if self._names is None:
            self._names = set(_all_names(self.graph))
        name = wanted
        while name in self._names:
            self._serial[wanted] = self._serial.get(wanted, 1) + 1
            name = f"{wanted}_{self._serial[wanted]}"
        self._names.add(name)
        return name

    def forget_names(self) -> None:
        """Count names afresh, after somebody else edited the graph."""
        self._names = None

    def keep_node_names(self) -> None:
        """Write the names given to unnamed nodes into the file too, so that reports match it."""
        for node in self.all_nodes:
            node.given_name = None

    def to_proto(self, write: WriteConstant = inline_constant) -> onnx.ModelProto:
        """Build the ModelProto.

        Args:
            write: Turns each initializer into its proto; by default the value goes inside.
        """
        proto = onnx.ModelProto()
        proto.CopyFrom(self.header)
        # Before IR 4 every initializer is an input; new ones only fit a later IR.
        outgrown = self.header.ir_version < 4 and has_new_constants(self.graph)
        if outgrown:
            proto.ir_version = max(
                4, helper.find_min_ir_version_for(proto.opset_import, ignore_unknown=True)
            )
        export_main(proto.graph, self.graph, write, list_defaults=not outgrown)
        return proto

    def reopen(self, proto: onnx.ModelProto) -> None:
        """Replace the content by `proto`, as after an operator set conversion."""
        self._open(proto, self.base_directory)

    def become(self, other: Model) -> None:
        """Take over the content of `other`, which must not be used afterwards."""
        self.header, self.graph = other.header, other.graph
        self._names = None

    def stored_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(c.stored.nbytes for c in self.constants)

    def digest(self) -> str:
        """SHA-256 over structure, operator sets and weights: the same wherever the model lies."""
        digest = hashlib.sha256()

        def write(tensor: Constant) -> onnx.TensorProto:
            value = read(tensor)
            digest.update(_content(value))
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            return onnx.TensorProto(name=tensor.name, dims=value.shape, data_type=kind)

        proto = self.to_proto(write)
        meaning = onnx.ModelProto(graph=proto.graph, functions=proto.functions)
        meaning.opset_import.extend(sorted(proto.opset_import, key=lambda entry: entry.domain))
        digest.update(meaning.SerializeToString(deterministic=True))
        return digest.hexdigest()


def _content(value: NDArray[Any]) -> bytes | memoryview:
    if value.dtype == object:
        return repr(value.tolist()).encode()
    return np.ascontiguousarray(value).view(np.uint8).data if value.size else b""


def _all_names(graph: Graph) -> Iterable[str]:
    for inner in every_graph(graph):
        yield from inner.initializers
        yield from (t.name for t in (*inner.inputs, *inner.outputs))
        for node in inner.nodes:
            yield node.name
            yield from (t.name for t in (*node.inputs, *node.outputs))


def _name_nodes(graph: Graph) -> None:
    """Give every node a name of its own; `given_name` marks those the file does not know."""
    taken = {node.name for node in every_node(graph) if node.name}
    seen: set[str] = set()
    count: dict[str, int] = {}
    for node in every_node(graph):
        base = name = node.name or f"{node.op}_{count.get(node.op, 0)}"
        count[node.op] = count.get(node.op, 0) + 1
        serial = 1
        while name in seen or (name in taken and not node.name):
            serial += 1
            name = f"{base}_{serial}"
        seen.add(name)
        if name != node.name:
            node.name = node.given_name = name


def is_stored_externally(tensor: Constant) -> bool:
    """Whether the value lies in another file."""
    stored = tensor.stored
    return isinstance(stored, Stored) and stored.external
