"""Where a model can be cut into blocks: places that few tensors pass.

Between two nodes of the order the live tensors are those computed before and read after. Blocks
end where these are fewest, every so many layers with weights (Li et al. 2021, BRECQ,
arXiv:2102.05426, reconstruct such blocks one after another).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from onnxq.graph import Constant, Model, Node, Variable


@dataclass(frozen=True)
class Block:
    """A stretch of a model.

    Attributes:
        reads: Tensors that it is given.
        gives: Float tensors that it computes for what comes after.
        weights: Names of the constants that its nodes read.
        nodes: Names of its nodes.
        made: Names of all tensors that they compute.
    """

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    weights: tuple[str, ...]
    nodes: frozenset[str]
    made: frozenset[str]


def blocks_of(model: Model, weighted: Sequence[str], layers: int) -> list[Block]:
    """Cut a model into blocks.

    Args:
        model: The model; its nodes are in topological order.
        weighted: Names of its layers with weights.
        layers: Layers per block, about.

    Returns:
        The blocks in order; at least one, if there is a layer.
    """
    nodes, layer_names = list(model.nodes), set(weighted)
    live = _live_after(model, nodes)
    cuts, since, best = [-1], 0, None
    for index, node in enumerate(nodes[:-1]):
        since += node.name in layer_names
        if since == 0:
            continue
        if best is None or len(live[index]) <= len(live[best]):
            best = index
        if since > layers:
            cuts.append(best)
            since = sum(n.name in layer_names for n in nodes[best + 1 : index + 1])
            best = None
    cuts.append(len(nodes) - 1)
    made = [_block(model, nodes, live, a, b) for a, b in pairwise(cuts)]
    return [block for block in made if block.gives and block.weights]


def ends_of_blocks(model: Model, weighted: Sequence[str], layers: int) -> list[str]:
    """Names of the tensors in which blocks end, the model's outputs left out."""
    outputs = {tensor.name for tensor in model.outputs}
    names = [name for block in blocks_of(model, weighted, layers) for name in block.gives]
    return [name for name in dict.fromkeys(names) if name not in outputs]


def _live_after(model: Model, nodes: Sequence[Node]) -> list[dict[str, Variable]]:
    """The variables that pass each place between two nodes, in order of their making."""
    last: dict[str, int] = {tensor.name: len(nodes) for tensor in model.outputs}
    for index, node in enumerate(nodes):
        for tensor in node.inputs:
            if isinstance(tensor, Variable) and tensor.name:
                last[tensor.name] = max(last.get(tensor.name, -1), index)
    alive = {tensor.name: tensor for tensor in model.inputs if last.get(tensor.name, -1) >= 0}
    found: list[dict[str, Variable]] = []
    for index, node in enumerate(nodes):
        for tensor in node.outputs:
            if tensor.name and isinstance(tensor, Variable):
                alive[tensor.name] = tensor
        alive = {name: t for name, t in alive.items() if last.get(name, -1) > index}
        found.append(dict(alive))
    return found


def _block(
    model: Model,
    nodes: Sequence[Node],
    live: Sequence[dict[str, Variable]],
    before: int,
    end: int,
) -> Block:
    inside = nodes[before + 1 : end + 1]
    made = {tensor.name for node in inside for tensor in node.outputs}
    reads = live[before] if before >= 0 else {t.name: t for t in model.inputs}
    gives = [n for n, t in live[end].items() if n in made and _is_float(t)]
    weights = [t.name for node in inside for t in node.inputs if isinstance(t, Constant)]
    names = frozenset(node.name for node in inside)
    used = tuple(dict.fromkeys(weights))
    return Block(tuple(reads), tuple(gives), used, names, frozenset(made))


def _is_float(tensor: Variable) -> bool:
    return tensor.dtype is None or str(tensor.dtype).startswith("float")
