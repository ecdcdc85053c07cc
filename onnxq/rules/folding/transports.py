"""Operators that an affine map passes unchanged, but for the place of its elements.

    f(factor·x + addend) = factor·f(x) + addend

1. Any map passes what only moves, copies or interpolates elements: interpolation weights sum
   to 1 (ONNX Resize; cubic ones too). Averages are such, as long as nothing padded is counted.
2. A factor alone passes sums, and averages over zeros that were padded.
3. A positive factor passes what is homogeneous: Relu(k·x) = k·Relu(x) for k > 0.
4. A map with a positive factor passes maxima and minima.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from onnxq.graph import Node, Tensor
from onnxq.rules.folding import moves
from onnxq.rules.folding.affine import Affine
from onnxq.rules.folding.plan import Plan
from onnxq.rules.folding.planner import Planner
from onnxq.rules.workspace import Workspace

Law: TypeAlias = Callable[[Workspace, Node, Affine], str]
"""Why a map does not pass a node; empty if it does."""


@dataclass(frozen=True)
class Transport:
    """What passes an operator, and where its elements go."""

    law: Law
    moves: moves.Moves


def _anything(_work: Workspace, _node: Node, _affine: Affine) -> str:
    return ""


def _factor(_work: Workspace, node: Node, affine: Affine) -> str:
    return "" if affine.adds_nothing else f"'{node.name}' ({node.op}) passes no addition"


def _monotone(_work: Workspace, node: Node, affine: Affine) -> str:
    return "" if affine.is_positive else f"'{node.name}' ({node.op}) passes no negative factor"


def _positive_factor(work: Workspace, node: Node, affine: Affine) -> str:
    return _factor(work, node, affine) or _monotone(work, node, affine)


def _average(work: Workspace, node: Node, affine: Affine) -> str:
    """With `ceil_mode` the last window reaches over the edge without padding."""
    padded = any(node.attrs.get("pads", ())) or node.attrs.get("ceil_mode", 0)
    padded = padded or str(node.attrs.get("auto_pad", "NOTSET")).startswith("SAME")
    counted = node.attrs.get("count_include_pad", 0)
    return _factor(work, node, affine) if padded and counted else ""


def _inference(work: Workspace, node: Node, _affine: Affine) -> str:
    trains = work.input(node, 2)
    known = work.value(trains)
    drops = trains is not None and (known is None or known.any())
    return f"'{node.name}' drops elements" if drops else ""


def _interpolation(_work: Workspace, node: Node, _affine: Affine) -> str:
    crops = node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return f"'{node.name}' ({node.op}) crops and pads" if crops else ""


TRANSPORTS: dict[str, Transport] = {
    "Identity": Transport(_anything, moves.SAME),
    "Dropout": Transport(_inference, moves.SAME),
    "Transpose": Transport(_anything, moves.PERMUTED),
    "Reshape": Transport(_anything, moves.RESHAPED),
    "Flatten": Transport(_anything, moves.RESHAPED),
    "Squeeze": Transport(_anything, moves.SQUEEZED),
    "Unsqueeze": Transport(_anything, moves.UNSQUEEZED),
    "Expand": Transport(_anything, moves.KEPT),
    "Tile": Transport(_anything, moves.KEPT),
    "DepthToSpace": Transport(_anything, moves.UNIFORM),
    "SpaceToDepth": Transport(_anything, moves.UNIFORM),
    "Resize": Transport(_interpolation, moves.RESIZED),
    "Upsample": Transport(_anything, moves.RESIZED),
    "GatherElements": Transport(_anything, moves.UNIFORM),
    "GatherND": Transport(_anything, moves.UNIFORM),
    "Relu": Transport(_positive_factor, moves.SAME),
    "LeakyRelu": Transport(_positive_factor, moves.SAME),
    "PRelu": Transport(_positive_factor, moves.SAME),
    "Abs": Transport(_positive_factor, moves.SAME),
    "MaxPool": Transport(_monotone, moves.APART),
    "GlobalMaxPool": Transport(_monotone, moves.APART),
    "AveragePool": Transport(_average, moves.APART),
    "GlobalAveragePool": Transport(_anything, moves.APART),
    "ReduceMean": Transport(_anything, moves.REDUCED),
    "ReduceSum": Transport(_factor, moves.REDUCED),
    "ReduceMax": Transport(_monotone, moves.REDUCED),
    "ReduceMin": Transport(_monotone, moves.REDUCED),
    "ReduceL1": Transport(_positive_factor, moves.REDUCED),
    "ReduceL2": Transport(_positive_factor, moves.REDUCED),
    "CumSum": Transport(_factor, moves.UNIFORM),
}


def back(planner: Planner, node: Node, tensor: Tensor, affine: Affine) -> Plan:
    """So that a transport gives the map: its input must."""
    if tensor is not node.outputs[0]:
        return f"'{tensor.name}' is another output of '{node.name}' ({node.op})"
    transport, work = TRANSPORTS[node.op], planner.work
    reason = transport.law(work, node, affine)
    move = transport.moves.back
    moved = affine.moved(move(work, node, affine.factor), move(work, node, affine.addend))
    if reason or moved is None:
        return reason or _mixes(node)
    return planner.operand(node, 0, moved)


def forth(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that a transport takes the map: all who read its result must."""
    if index != 0:
        return f"'{node.name}' ({node.op}) takes it as a parameter"
    transport, work = TRANSPORTS[node.op], planner.work
    reason = transport.law(work, node, affine)
    move = transport.moves.forth
    moved = affine.moved(move(work, node, affine.factor), move(work, node, affine.addend))
    if reason or moved is None:
        return reason or _mixes(node)
    return planner.readers(node.outputs[0], moved)


def _mixes(node: Node) -> str:
    return f"'{node.name}' ({node.op}) mixes what the constants tell apart"
