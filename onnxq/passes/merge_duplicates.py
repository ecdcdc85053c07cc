"""Equal nodes compute equal values: readers of the second read the first (value numbering).

Two nodes are equal if they have the same operator and attributes and read the same tensors.

1. Constants count by type, shape and content where they are small, else by identity.
2. Operators of other domains, random ones, control flow and what QuantizeLinear and
   DequantizeLinear frame are left alone: quantization is planned tensor by tensor.
3. Where the model returns results of both under different names, both stay.
4. Small integers count by what they are: whatever two tensors are computed from, they are
   equal if they hold the same numbers and terms over the model's dimensions.

One walk in topological order finds all, as readers of a merged node become equal in turn:
linear in nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onnx import AttributeProto

from onnxq.graph import (
    Constant,
    Graph,
    Model,
    Node,
    Tensor,
    bodies,
    bound_constant,
    read,
    remove_dead_nodes,
    replace_uses,
)
from onnxq.passes.dimensions import Knowledge, Known
from onnxq.passes.events import Applied, Event, Refused

_NEVER = frozenset(
    [
        "Bernoulli",
        "Constant",
        "DequantizeLinear",
        "Dropout",
        "DynamicQuantizeLinear",
        "Multinomial",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ]
)

_SMALL = 1024
"""Bytes up to which constants are compared by content; larger ones are merged elsewhere."""


@dataclass(frozen=True)
class MergeDuplicates:
    """Compute equal things once."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Walk over the main graph once."""
        yield from self.apply_knowing(model, Knowledge(model))

    def apply_knowing(self, model: Model, knowledge: Knowledge) -> Iterator[Event]:
        """As `apply`, with what others have found out about the model."""
        walk = _Walk(knowledge.now(), {id(t) for t in _returned(model.graph)})
        events = [event for node in model.nodes for event in walk.visit(node)]
        yield from events
        if any(isinstance(event, Applied) for event in events):
            knowledge.forget()
            remove_dead_nodes(model)


@dataclass
class _Walk:
    """What was met so far.

    Attributes:
        known: Shapes and contents of the model's tensors.
        returned: Tensors that the model or a body returns, by identity.
        nodes: The first node of each kind.
        contents: The first tensor of each content.
    """

    known: Known
    returned: set[int]
    nodes: dict[Hashable, Node] = field(default_factory=dict)
    contents: dict[Hashable, Tensor] = field(default_factory=dict)

    def visit(self, node: Node) -> Iterator[Event]:
        """Merge a node with an equal one, or its result with an equal content."""
        if not node.standard or node.op in _NEVER or bodies(node) or not node.inputs:
            return
        if not any(t.outputs or id(t) in self.returned for t in node.outputs):
            return
        key = _key(node)
        first = node if key is None else self.nodes.setdefault(key, node)
        if first is not node:
            yield self._merge(node, first)
        elif len(node.outputs) == 1:
            yield from self._share(node, node.outputs[0])

    def _merge(self, node: Node, first: Node) -> Event:
        if any(id(t) in self.returned for t in node.outputs):
            return Refused(node.name, f"equals {first.name}, but its result is returned by name")
        for mine, other in zip(node.outputs, first.outputs, strict=True):
            replace_uses(mine, other)
        return Applied(node.name, f"computed the same as {first.name} ({first.op})")

    def _share(self, node: Node, tensor: Tensor) -> Iterator[Event]:
        content, (dtype, shape) = self._content(tensor)
        if content is None or shape is None or None in content or id(tensor) in self.returned:
            return
        first = self.contents.setdefault((dtype, shape, content), tensor)
        if first is not tensor and tensor.outputs:
            replace_uses(tensor, first)
            yield Applied(node.name, f"always equals '{first.name}'")

    def _content(self, tensor: Tensor) -> tuple[Any, Any]:
        name = tensor.name
        return self.known.contents.get(name), self.known.types.get(name, (None, None))


def _returned(graph: Graph) -> Iterator[Tensor]:
    yield from graph.outputs
    for node in graph.nodes:
        for body in bodies(node):
            yield from _returned(body)


def _key(node: Node) -> Hashable:
    """What makes two nodes equal; None if that is not known of this one."""
    attributes = []
    for name, value in sorted(node.attrs.items()):
        if isinstance(value, AttributeProto):
            return None
        attributes.append((name, _frozen(value)))
    # Optional results may be left out by one node and not by the other.
    present = tuple(bool(t.name) for t in node.outputs)
    return node.op, tuple(map(_operand, node.inputs)), tuple(attributes), present


def _frozen(value: Any) -> Hashable:
    if isinstance(value, Constant):
        return _operand(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(v) for v in value)
    return (type(value).__name__, value)


def _operand(tensor: Tensor) -> Hashable:
    if not tensor.name:
        return None
    known = bound_constant(tensor)
    if known is None or known.stored.nbytes > _SMALL or known.stored.dtype.hasobject:
        return id(tensor)
    value = read(known)
    return value.dtype, value.shape, value.tobytes()
