"""Multiply-accumulates (MACs) of a model, node by node, and how many use integer weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto

from onnxq.measure.mac_rules import (
    MacRule,
    Shaped,
    UncountableError,
    rule_of,
    unknown_work,
)
from onnxq.measure.propagation import Scope, Shape
from onnxq.measure.protos import (
    CODE_TYPES,
    ModelSource,
    bodies,
    describe,
    graph_initializers,
    is_standard,
    load_proto,
)
from onnxq.measure.shapes import producers, static_shapes


@dataclass(frozen=True)
class NodeCost:
    """MACs of one node.

    Attributes:
        node: The node's name, or the name of its first output if it has none.
        op_type: The operator.
        macs: Multiply-accumulates of one run.
        integer: Whether its weights are stored as integers (behind DequantizeLinear) or
            the operator itself computes on integers.
    """

    node: str
    op_type: str
    macs: int
    integer: bool


@dataclass(frozen=True)
class Uncounted:
    """A node that multiplies, but whose MACs could not be told."""

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True)
class Cost:
    """The MACs of one run of a model.

    Attributes:
        nodes: The counted nodes in graph order.
        uncounted: The nodes left out, with the reason.
        assumed_dimensions: Free dimensions that were taken as 1.
        note: The first thing that shape inference rejected, empty if it took everything.
    """

    nodes: tuple[NodeCost, ...]
    uncounted: tuple[Uncounted, ...]
    assumed_dimensions: tuple[str, ...]
    note: str

    @property
    def macs(self) -> int:
        """MACs of the counted nodes."""
        return sum(node.macs for node in self.nodes)

    @property
    def integer_macs(self) -> int:
        """MACs of the nodes whose weights are integers."""
        return sum(node.macs for node in self.nodes if node.integer)

    @property
    def integer_share(self) -> float:
        """Share of the MACs whose weights are integers; 0.0 if nothing was counted."""
        return self.integer_macs / self.macs if self.macs else 0.0


def count_macs(source: ModelSource, dimensions: Mapping[str, int] | None = None) -> Cost:
    """Count the MACs of one run.

    Of an If node the branch that is taken counts, or the costlier one if that depends on
    the inputs; Loop and Scan bodies run an unknown
    number of times and are listed as uncounted.

    Args:
        source: The model or its path; weights are not read.
        dimensions: Values of symbolic dimensions; a missing one is taken as 1 and listed.

    Raises:
        ModelError: if the file cannot be read.
    """
    shaped = static_shapes(load_proto(source), dimensions)
    tally = _count(shaped.model.graph, shaped.scope, _Weights({}, frozenset()))
    return Cost(tuple(tally.counted), tuple(tally.uncounted), shaped.assumed, shaped.note)


@dataclass
class _Tally:
    counted: list[NodeCost] = field(default_factory=list)
    uncounted: list[Uncounted] = field(default_factory=list)

    def add(self, other: _Tally) -> None:
        self.counted.extend(other.counted)
        self.uncounted.extend(other.uncounted)

    @property
    def macs(self) -> int:
        return sum(node.macs for node in self.counted)


@dataclass(frozen=True)
class _Weights:
    """Where weights come from: the writers of tensors and the integer constants."""

    writers: Mapping[str, NodeProto]
    integers: frozenset[str]

    def within(self, graph: GraphProto) -> _Weights:
        """The same, seen from a graph nested in this one."""
        writers = {**self.writers, **producers(graph)}
        found = {t.name for t in graph_initializers(graph) if t.dtype in CODE_TYPES}
        return _Weights(writers, self.integers | found)

    def is_integer(self, name: str) -> bool:
        """Whether a tensor is an integer constant, dequantized and perhaps reshaped."""
        seen: set[str] = set()
        dequantized = False
        while name in self.writers and name not in seen:
            seen.add(name)
            node = self.writers[name]
            if node.op_type == "Constant":
                return dequantized and _holds_integers(node)
            if node.op_type not in _TRANSPARENT:
                return False
            dequantized = dequantized or node.op_type == "DequantizeLinear"
            name = node.input[0]
        return dequantized and name in self.integers


# Operators that hand a weight on, as a converter may leave them before its consumer.
_TRANSPARENT = frozenset(
    {"DequantizeLinear", "Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Cast"}
)


def _count(graph: GraphProto, scope: Scope, outer: _Weights) -> _Tally:
    shapes = scope.shapes()
    weights = outer.within(graph)
    tally = _Tally()
    for node in graph.node:
        rule = rule_of(node)
        if rule is not None:
            tally.add(_count_node(node, rule, shapes, weights))
        elif node.op_type == "If" and is_standard(node):
            taken = scope.branches(node)
            branches = [_count(body, scope.enter(body), weights) for body in taken]
            tally.add(max(branches, key=lambda branch: branch.macs))
        else:
            tally.uncounted.extend(_inside(node))
    return tally


def _count_node(
    node: NodeProto, rule: MacRule, shapes: Mapping[str, Shape], weights: _Weights
) -> _Tally:
    name = _label(node)
    try:
        macs = rule.count(Shaped.of(node, shapes))
    except UncountableError as error:
        return _Tally(uncounted=[Uncounted(name, node.op_type, str(error))])
    except (ValueError, IndexError, KeyError):
        reason = "its inputs do not have the ranks or attributes the operator asks for"
        return _Tally(uncounted=[Uncounted(name, node.op_type, reason)])
    integer = rule.integer or any(weights.is_integer(node.input[i]) for i in rule.operands)
    return _Tally(counted=[NodeCost(name, node.op_type, macs, integer)])


def _label(node: NodeProto) -> str:
    return node.name or next(iter(node.output), node.op_type)


def _inside(node: NodeProto) -> Iterable[Uncounted]:
    """A node of unknown work, and the multiplying nodes in the bodies of a loop."""
    unknown = unknown_work(node)
    if unknown:
        yield Uncounted(_label(node), node.op_type, unknown)
    for inner in _body_nodes(node):
        if rule_of(inner) is not None:
            reason = f"it runs in the body of {describe(node)}, an unknown number of times"
            yield Uncounted(_label(inner), inner.op_type, reason)


def _body_nodes(node: NodeProto) -> Iterable[NodeProto]:
    for body in bodies(node):
        for inner in body.node:
            yield inner
            yield from _body_nodes(inner)


def _holds_integers(node: NodeProto) -> bool:
    return any(a.name == "value" and a.t.data_type in CODE_TYPES for a in node.attribute)
