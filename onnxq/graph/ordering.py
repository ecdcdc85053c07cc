"""Topological order that disturbs as little as possible."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.errors import ModelError
from onnxq.graph.elements import Node, Tensor
from onnxq.graph.exporting import bodies
from onnxq.graph.importing import Graph


def sort(graph: Graph) -> None:
    """Order the nodes so that each comes after what it reads.

    A node stays where it is unless something it reads stands later: that is then pulled
    forward. An ordered list is left as it is; new nodes land right before their first
    reader. Linear in nodes and edges, without recursion.

    Raises:
        ModelError: if the graph has a cycle.
    """
    producer = {id(t): node for node in graph.nodes for t in node.outputs if t.name}
    if not _is_sorted(graph.nodes, producer):
        done: set[int] = set()
        order: list[Node] = []
        for root in graph.nodes:
            _emit(root, producer, done, order)
        graph.nodes = order
    for node in graph.nodes:
        for body in bodies(node):
            sort(body)


def _is_sorted(nodes: list[Node], producer: dict[int, Node]) -> bool:
    """Whether nothing needs to move: nearly always so, and cheaper to see than to do."""
    done: set[int] = set()
    for node in nodes:
        for tensor in reads(node):
            needed = producer.get(id(tensor))
            if needed is not None and id(needed) not in done:
                return False
        done.add(id(node))
    return True


def reads(node: Node) -> Iterator[Tensor]:
    """Every tensor a node depends on, those captured by its bodies included."""
    yield from node.inputs
    for body in bodies(node):
        for inner in body.nodes:
            yield from reads(inner)
        yield from body.outputs


def _emit(root: Node, producer: dict[int, Node], done: set[int], order: list[Node]) -> None:
    """Append `root` after the producers that it still lacks (depth first, own stack)."""
    if id(root) in done:
        return
    open_nodes: set[int] = {id(root)}
    stack = [(root, reads(root))]
    while stack:
        node, pending = stack[-1]
        for tensor in pending:
            needed = producer.get(id(tensor))
            if needed is None or id(needed) in done:
                continue
            if id(needed) in open_nodes:
                raise ModelError(
                    "the graph has a cycle",
                    where=f"node '{needed.name}' ({needed.op})",
                    why=f"it depends on its own output through '{tensor.name}'",
                    remedy="export the model again",
                )
            open_nodes.add(id(needed))
            stack.append((needed, reads(needed)))
            break
        else:
            stack.pop()
            done.add(id(node))
            order.append(node)
