"""What must hold of every graph between two passes, checked in time linear in its size."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from onnxq.errors import InvariantError
from onnxq.graph.elements import Constant, Node, Tensor
from onnxq.graph.exporting import bodies, every_graph, every_node
from onnxq.graph.importing import Graph


def check_invariants(graph: Graph, after: str = "") -> None:
    """Check names, single producers, order, and the links between nodes and tensors.

    Args:
        graph: The main graph.
        after: What was done last, for the message.

    Raises:
        InvariantError: names the first fault and shows the nodes around it.
    """
    check = _Check(
        stored={id(c) for inner in every_graph(graph) for c in inner.initializers.values()},
        readers=Counter(
            (id(t), id(node)) for node in every_node(graph) for t in node.inputs if t.name
        ),
    )
    for fault, position in check.faults(graph, ChainMap()):
        raise InvariantError(
            fault,
            where=f"after {after}" if after else "",
            why=f"nodes around it:\n{_neighbourhood(graph, position)}",
        )


Scope = ChainMap[str, Tensor]


@dataclass
class _Check:
    """One walk over a graph and its bodies.

    Attributes:
        stored: Constants that some graph stores; all others will be stored in the main graph.
        readers: How often each node reads each tensor, by identity.
        names: Node names seen.
        new: Constants that no graph stores yet, by name.
        linked: Tensors whose readers were compared.
    """

    stored: set[int]
    readers: Counter[tuple[int, int]]
    names: set[str] = field(default_factory=set)
    new: dict[str, Tensor] = field(default_factory=dict)
    linked: set[int] = field(default_factory=set)

    def faults(self, graph: Graph, outer: Scope) -> Iterator[tuple[str, int]]:
        """Every fault, with the position in `graph` of the node it concerns."""
        visible = outer.new_child()
        own = visible.maps[0]
        declared: list[Tensor] = [*graph.initializers.values(), *graph.inputs]
        for tensor in declared:
            if tensor.name in own:
                yield f"'{tensor.name}' is declared twice as an input or initializer", 0
            own[tensor.name] = tensor
        for position, node in enumerate(graph.nodes):
            for fault in self._node_faults(node, visible):
                yield fault, position
        for tensor in graph.outputs:
            if visible.get(tensor.name) is not tensor and not isinstance(tensor, Constant):
                yield f"graph output '{tensor.name}' is not produced", len(graph.nodes) - 1

    def _node_faults(self, node: Node, visible: Scope) -> Iterator[str]:
        if not node.name or node.name in self.names:
            yield f"node name '{node.name}' ({node.op}) is empty or used twice"
        self.names.add(node.name)
        for tensor in node.inputs:
            if tensor.name:
                yield from self._input_faults(node, tensor, visible)
        for body in bodies(node):
            yield from (fault for fault, _ in self.faults(body, visible))
        for tensor in node.outputs:
            if tensor.name:
                yield from self._output_faults(node, tensor, visible)

    def _input_faults(self, node: Node, tensor: Tensor, visible: Scope) -> Iterator[str]:
        known = visible.maps[0].get(tensor.name)
        if known is None:
            known = visible.get(tensor.name, self.new.get(tensor.name))
        if known is None and isinstance(tensor, Constant) and id(tensor) not in self.stored:
            self.new[tensor.name] = tensor
        elif known is not tensor:
            state = "is not produced before it is read" if known is None else "names two tensors"
            yield f"'{tensor.name}', read by '{node.name}' ({node.op}), {state}"
        if id(tensor) not in self.linked:
            yield from self._reader_faults(tensor)
        if (id(tensor), id(node)) in self.readers:
            yield f"'{tensor.name}' does not list '{node.name}' ({node.op}) as a reader"

    def _output_faults(self, node: Node, tensor: Tensor, visible: Scope) -> Iterator[str]:
        own = visible.maps[0]
        taken = tensor.name in own or tensor.name in self.new
        if taken or isinstance(tensor, Constant):
            yield f"'{tensor.name}' is written twice, or is an input or a constant"
        own[tensor.name] = tensor
        if len(tensor.inputs) > 1:
            yield f"'{tensor.name}' is written twice, by " + " and ".join(
                f"'{writer.name}' ({writer.op})" for writer in tensor.inputs[:2]
            )
        elif not tensor.inputs or tensor.inputs[0] is not node:
            yield f"'{tensor.name}' does not know '{node.name}' ({node.op}) as its only producer"
        if id(tensor) not in self.linked:
            yield from self._reader_faults(tensor)

    def _reader_faults(self, tensor: Tensor) -> Iterator[str]:
        """Whether a tensor's list of readers agrees with what the nodes read."""
        self.linked.add(id(tensor))
        readers = tensor.outputs
        # Most tensors have one reader; counting it takes as long as the rest of the check.
        counts = [(readers[0], 1)] if len(readers) == 1 else Counter(readers).items()
        for reader, count in counts:
            actual = self.readers.pop((id(tensor), id(reader)), 0)
            if actual != count:
                yield (
                    f"'{tensor.name}' lists '{reader.name}' ({reader.op}) as a reader "
                    f"{count} times, which reads it {actual} times"
                )


def _neighbourhood(graph: Graph, position: int, reach: int = 2) -> str:
    start = max(0, position - reach)
    lines = (
        f"  {'>' if index == position else ' '} {index}: {node.op} '{node.name}' "
        f"({', '.join(t.name for t in node.inputs)}) -> "
        f"({', '.join(t.name for t in node.outputs)})"
        for index, node in enumerate(graph.nodes[start : position + reach + 1], start)
    )
    return "\n".join(lines)
