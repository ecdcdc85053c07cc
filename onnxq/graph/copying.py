"""A second model that can be edited apart; the weights are shared, not copied."""

from __future__ import annotations

from collections import Counter
from typing import Any

import onnx

from onnxq.graph.elements import Constant, Node, Tensor, Variable
from onnxq.graph.importing import Graph
from onnxq.graph.model import Model


def copy_model(model: Model) -> Model:
    """A copy of `model` with nodes and tensors of its own, named alike.

    Values of constants and the protos of the file are never edited in place, so both models
    refer to the same ones.
    """
    frame = onnx.ModelProto()
    frame.CopyFrom(model.header)
    twin = Model(frame, model.base_directory)
    twin.graph = _Copier().graph(model.graph)
    twin.forget_names()
    return twin


class _Copier:
    """Copies graphs; tensors that bodies share with the graphs around them stay shared."""

    def __init__(self) -> None:
        self._copies: dict[int, Tensor] = {}

    def graph(self, graph: Graph) -> Graph:
        twin = Graph(graph.source, graph.opset)
        twin.name, twin.doc_string = graph.name, graph.doc_string
        twin.initializers = {name: self._constant(c) for name, c in graph.initializers.items()}
        twin.spare = graph.spare
        twin.inputs = [self._variable(t) for t in graph.inputs]
        twin.nodes = [self._node(node) for node in graph.nodes]
        twin.outputs = [self._tensor(t) for t in graph.outputs]
        return twin

    def _node(self, node: Node) -> Node:
        twin = Node(
            node.op,
            node.name,
            [self._tensor(t) for t in node.inputs],
            [self._tensor(t) for t in node.outputs],
            {name: self._attribute(value) for name, value in node.attrs.items()},
            node.domain,
            node.source,
        )
        twin.given_name, twin.read_as = node.given_name, node.read_as
        return twin

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, Graph):
            return self.graph(value)
        if isinstance(value, Constant):
            return _without_links(value)
        return list(value) if isinstance(value, list) else value

    def _tensor(self, tensor: Tensor) -> Tensor:
        known = self._copies.get(id(tensor))
        if known is not None:
            return known
        if isinstance(tensor, Constant):
            return self._constant(tensor)
        return self._variable(tensor)

    def _constant(self, tensor: Constant) -> Constant:
        known = self._copies.get(id(tensor))
        if known is None:
            known = self._copies[id(tensor)] = _without_links(tensor)
        assert isinstance(known, Constant)
        return known

    def _variable(self, tensor: Variable) -> Variable:
        known = self._copies.get(id(tensor))
        if known is None:
            known = Variable(tensor.name, tensor.dtype, tensor.shape, tensor.source)
            self._copies[id(tensor)] = known
        assert isinstance(known, Variable)
        return known


def _without_links(tensor: Constant) -> Constant:
    return Constant(
        tensor.name, tensor.stored, listed=tensor.listed, overridable=tensor.overridable
    )


def unique_constants(model: Model) -> dict[str, Constant]:
    """The constants whose name no other constant bears (bodies may use a name again)."""
    constants = model.constants
    count = Counter(c.name for c in constants)
    return {c.name: c for c in constants if count[c.name] == 1}


def share_values(model: Model, values: dict[str, Constant]) -> None:
    """Let the constants of a model refer to the values of others of the same name."""
    for tensor in model.constants:
        known = values.get(tensor.name)
        if known is not None:
            tensor.store(known.stored)
