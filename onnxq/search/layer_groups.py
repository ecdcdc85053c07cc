"""Layers that are decided together: a search over single layers would have too many choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from onnxq.graph import Model, Node
from onnxq.plan import Integer, Plan

_MOVES = "same-scale"


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one type that follow each other.

    Attributes:
        name: Of the group; that of the layer if it is a single one.
        layers: Their names, in order.
    """

    name: str
    layers: tuple[str, ...]


def layer_groups(model: Model, plan: Plan, most: int) -> list[LayerGroup]:
    """The layers of a plan in about so many groups.

    1. Layers are the nodes that integers compute; those that only move codes follow them.
    2. Each type of operator is cut into runs of neighbours, the more runs the more layers it has.

    Args:
        model: The float model, before activations are spelled out.
        plan: What can run in integers.
        most: Groups; 0: each layer is one.
    """
    layers = [node for node in model.nodes if _is_layer(node, plan)]
    if most == 0 or len(layers) <= most:
        return [LayerGroup(node.name, (node.name,)) for node in layers]
    kinds: dict[str, list[Node]] = {}
    for node in layers:
        kinds.setdefault(_kind(node), []).append(node)
    return [
        group
        for kind, nodes in kinds.items()
        for group in _runs(kind, nodes, max(1, round(most * len(nodes) / len(layers))))
    ]


def _is_layer(node: Node, plan: Plan) -> bool:
    decision = plan.nodes.get(node.name)
    return isinstance(decision, Integer) and decision.role != _MOVES


def _kind(node: Node) -> str:
    grouped = node.op in ("Conv", "ConvTranspose") and int(node.attrs.get("group", 1)) > 1
    return f"{node.op} in groups" if grouped else node.op


def _runs(kind: str, nodes: Sequence[Node], count: int) -> Iterator[LayerGroup]:
    width = ceil(len(nodes) / count)
    for begin in range(0, len(nodes), width):
        run = nodes[begin : begin + width]
        last = begin + len(run)
        where = f"{begin + 1}" if len(run) == 1 else f"{begin + 1} to {last}"
        yield LayerGroup(f"{kind} {where}", tuple(node.name for node in run))
