"""What must hold of every graph between two passes, checked in time linear in its size."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator

from onnxq.errors import InvariantError
from onnxq.graph.elements import Constant, Node, Tensor
from onnxq.graph.exporting import bodies
from onnxq.graph.importing import Graph


def check_invariants(graph: Graph, after: str = "") -> None:
    """Check names, single producers, order, and the links between nodes and tensors.

    Args:
        graph: The main graph.
        after: What was done last, for the message.

    Raises:
        InvariantError: names the first fault and shows the nodes around it.
    """
    for fault, position in _faults(graph, ChainMap(), set()):
        raise InvariantError(
            fault,
            where=f"after {after}" if after else "",
            why=f"nodes around it:\n{_neighbourhood(graph, position)}",
        )


def _faults(
    graph: Graph, outer: ChainMap[str, Tensor], names: set[str]
) -> Iterator[tuple[str, int]]:
    visible = outer.new_child()
    for tensor in (*graph.initializers.values(), *graph.inputs):
        visible[tensor.name] = tensor
    produced: dict[str, Node] = {}
    for position, node in enumerate(graph.nodes):
        if not node.name or node.name in names:
            yield f"node name '{node.name}' ({node.op}) is empty or used twice", position
        names.add(node.name)
        yield from ((fault, position) for fault in _input_faults(node, visible))
        yield from ((fault, position) for fault in _link_faults(node))
        for body in bodies(node):
            yield from ((fault, position) for fault, _ in _faults(body, visible, names))
        for tensor in node.outputs:
            if not tensor.name:
                continue
            if isinstance(tensor, Constant) or tensor.name in produced:
                yield f"'{tensor.name}' is written twice, or is a constant", position
            produced[tensor.name] = node
            visible[tensor.name] = tensor
    for tensor in graph.outputs:
        if visible.get(tensor.name) is not tensor and not isinstance(tensor, Constant):
            yield f"graph output '{tensor.name}' is not produced", len(graph.nodes) - 1


def _input_faults(node: Node, visible: ChainMap[str, Tensor]) -> Iterator[str]:
    for tensor in node.inputs:
        if not tensor.name:
            continue
        known = visible.get(tensor.name)
        if known is None and isinstance(tensor, Constant):
            visible[tensor.name] = tensor
        elif known is not tensor:
            state = "is not produced before it is read" if known is None else "names two tensors"
            yield f"'{tensor.name}', read by '{node.name}' ({node.op}), {state}"


def _link_faults(node: Node) -> Iterator[str]:
    """Whether the tensors' lists of readers and writers agree with the node's own lists."""
    for tensor in node.outputs:
        if tensor.name and not (len(tensor.inputs) == 1 and tensor.inputs[0] is node):
            yield f"'{tensor.name}' does not know '{node.name}' ({node.op}) as its only producer"
        if len({id(reader) for reader in tensor.outputs}) != len(tensor.outputs):
            yield from _repeated_reader_faults(tensor)


def _repeated_reader_faults(tensor: Tensor) -> Iterator[str]:
    """A node that reads a tensor twice stands twice in its list of readers."""
    for reader, count in Counter(tensor.outputs).items():
        if sum(t is tensor for t in reader.inputs) != count:
            yield f"'{tensor.name}' lists '{reader.name}' as a reader {count} times"


def _neighbourhood(graph: Graph, position: int, reach: int = 2) -> str:
    start = max(0, position - reach)
    lines = (
        f"  {'>' if index == position else ' '} {index}: {node.op} '{node.name}' "
        f"({', '.join(t.name for t in node.inputs)}) -> "
        f"({', '.join(t.name for t in node.outputs)})"
        for index, node in enumerate(graph.nodes[start : position + reach + 1], start)
    )
    return "\n".join(lines)
