"""A model as a picture: its nodes, with the conversions to codes and back left out."""

from __future__ import annotations

from collections.abc import Callable

from onnxq.graph import Constant, Model, Node, Tensor
from onnxq.report.html import Box

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})

Edges = list[tuple[int, int]]


def model_graph(model: Model, box_of: Callable[[Node], Box]) -> tuple[list[Box], Edges]:
    """The nodes of the main graph and what flows between them.

    Args:
        model: The model.
        box_of: What a node looks like.

    Returns:
        Boxes in topological order, inputs first and outputs last, and the edges between them.
    """
    boxes: list[Box] = []
    origin: dict[int, int] = {}
    for tensor in model.inputs:
        origin[id(tensor)] = len(boxes)
        boxes.append(Box(tensor.name, "input", "plain"))
    edges: dict[tuple[int, int], None] = {}
    for node in model.nodes:
        if node.op in CONVERSIONS:
            _see_through(node, origin)
            continue
        place = len(boxes)
        boxes.append(box_of(node))
        for tensor in node.inputs:
            if id(tensor) in origin:
                edges[origin[id(tensor)], place] = None
        origin.update((id(tensor), place) for tensor in node.outputs)
    for tensor in model.outputs:
        if id(tensor) in origin:
            edges[origin[id(tensor)], len(boxes)] = None
            boxes.append(Box(tensor.name, "output", "plain"))
    return boxes, list(edges)


def _see_through(node: Node, origin: dict[int, int]) -> None:
    source: Tensor | None = node.inputs[0] if node.inputs else None
    if source is None or isinstance(source, Constant) or id(source) not in origin:
        return
    origin.update((id(tensor), origin[id(source)]) for tensor in node.outputs)
