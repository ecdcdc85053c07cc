"""Edits that keep graphsurgeon's two-way links right, each linear in what it touches."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from onnxq.graph.elements import Constant, Node, Tensor, Variable
from onnxq.graph.exporting import bodies, every_node
from onnxq.graph.model import Model
from onnxq.graph.ordering import reads


def replace_uses(old: Tensor, new: Tensor, readers: Iterable[Node] | None = None) -> None:
    """Let `readers` (default: all) read `new` where they read `old`.

    Graph outputs are not touched: their names belong to the model's users.
    """
    if new is old:
        return
    chosen = {id(node) for node in (old.outputs if readers is None else readers)}
    for node in {id(n): n for n in old.outputs if id(n) in chosen}.values():
        for index, tensor in enumerate(node.inputs):
            if tensor is old:
                # Around the synchronised list: it would search the links for every use.
                list.__setitem__(node.inputs, index, new)
                list.append(new.outputs, node)
    list.__setitem__(old.outputs, slice(None), [n for n in old.outputs if id(n) not in chosen])


def set_input(node: Node, index: int, tensor: Tensor) -> None:
    """Let input `index` of `node` read `tensor`; missing optional inputs before it stay empty."""
    while len(node.inputs) <= index:
        node.inputs.append(Variable(""))
    node.inputs[index] = tensor


def take_output(tensor: Tensor, producer: Node, index: int = 0) -> None:
    """Make `producer` write `tensor`, which whoever wrote it before no longer does."""
    for node in list(tensor.inputs):
        for position, output in enumerate(node.outputs):
            if output is tensor:
                node.outputs[position] = Variable("")
    while len(producer.outputs) <= index:
        producer.outputs.append(Variable(""))
    producer.outputs[index] = tensor


def remove_nodes(model: Model, nodes: Collection[Node]) -> None:
    """Take nodes out of the main graph and unlink them and their bodies, all at once."""
    doomed = {id(node) for node in nodes}
    unlink(nodes)
    model.graph.nodes = [node for node in model.nodes if id(node) not in doomed]


def unlink(nodes: Collection[Node]) -> None:
    """Cut nodes and their bodies off from the tensors they read and write."""
    unlinked = [*nodes, *(n for node in nodes for body in bodies(node) for n in every_node(body))]
    doomed = {id(node) for node in unlinked}
    touched = {id(t): t for node in unlinked for t in (*node.inputs, *node.outputs)}
    for node in unlinked:
        list.clear(node.inputs)
        list.clear(node.outputs)
    for tensor in touched.values():
        for links in (tensor.inputs, tensor.outputs):
            if any(id(node) in doomed for node in links):
                list.__setitem__(links, slice(None), [n for n in links if id(n) not in doomed])


def remove_dead_nodes(model: Model) -> list[Node]:
    """Remove nodes of the main graph whose outputs nobody reads, in whatever order they stand.

    Returns:
        The nodes removed.
    """
    producers = {id(t): node for node in model.nodes for t in node.outputs if t.name}
    alive: set[int] = set()
    wanted = [producers[id(t)] for t in model.outputs if id(t) in producers]
    while wanted:
        node = wanted.pop()
        if id(node) in alive:
            continue
        alive.add(id(node))
        wanted.extend(producers[id(t)] for t in reads(node) if id(t) in producers)
    dead = [node for node in model.nodes if id(node) not in alive]
    remove_nodes(model, dead)
    return dead


def is_output(model: Model, tensor: Tensor) -> bool:
    """Whether the model returns this tensor."""
    return any(t is tensor for t in model.outputs)


def only_reader(model: Model, tensor: Tensor) -> Node | None:
    """The node that alone reads a tensor which is not an output of the model, else None."""
    if len(tensor.outputs) != 1 or is_output(model, tensor):
        return None
    return tensor.outputs[0]


def producer(tensor: Tensor) -> Node | None:
    """The node that computes a tensor; None for inputs and constants."""
    return tensor.inputs[0] if tensor.inputs else None


def bound_constant(tensor: Tensor) -> Constant | None:
    """The tensor if its value is known and nobody can override it, else None."""
    if isinstance(tensor, Constant) and not tensor.overridable:
        return tensor
    return None
