"""Pad around an affine map.

    f·pad(x; v) + c = pad(f·x + c; f·v + c)

with one f and c for all elements, or with constants along axes that are not padded and v = 0
= c. What is padded by reflection, repetition or wrapping comes from x itself.
"""

from __future__ import annotations

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Affine, normal_axes
from onnxq.rules.folding.constants_beside import give_beside, take_beside
from onnxq.rules.folding.plan import Edit, Plan
from onnxq.rules.folding.planner import Planner
from onnxq.rules.folding.storing import stored, values_of
from onnxq.rules.workspace import Workspace


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Pad gives the map: its input must, and its value."""
    return give_beside(planner, node, affine, _new_value)


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Pad takes the map: its value undoes it, and those behind take it."""
    return take_beside(planner, node, index, affine, _new_value)


def _new_value(planner: Planner, node: Node, affine: Affine) -> Plan:
    """The edit of the padding value, if it needs one, or why the map does not pass."""
    padded = _padded_axes(planner.work, node)
    if affine.axes and (padded is None or affine.axes & padded):
        return f"'{node.name}' (Pad) pads what the constants tell apart"
    mode = node.attrs.get("mode", "constant")
    if mode not in ("constant", b"constant"):
        return ()
    value = _value(planner.work, node)
    if value is None:
        return f"the value of '{node.name}' (Pad) is computed"
    new = affine.factor * value + affine.addend
    if np.all(new == value):
        return ()
    if new.ndim or not np.isfinite(new):
        return f"'{node.name}' (Pad) has one value for all channels"
    if planner.work.opset < 11:
        return (Edit(node, attrs={"value": float(new)}),)
    return (Edit(node, lambda: values_of({2: stored(new, planner.dtype)})),)


def _value(work: Workspace, node: Node) -> float | None:
    """The padding value: an attribute before opset 11, an input since."""
    tensor = work.input(node, 2)
    return float(node.attrs.get("value", 0.0)) if tensor is None else work.scalar(tensor)


def _padded_axes(work: Workspace, node: Node) -> set[int] | None:
    """The axes with a pad other than 0 on either side; None if that is not known."""
    found = node.attrs.get("pads", node.attrs.get("paddings"))
    if found is None:
        found = work.value(work.input(node, 1))
    rank = work.rank(node.inputs[0])
    if found is None or rank is None:
        return None
    pads = np.asarray(found).reshape(2, -1)
    axes: list[int] = list(range(rank))
    if work.input(node, 3) is not None:
        chosen = work.value(work.input(node, 3))
        if chosen is None:
            return None
        axes = normal_axes(chosen.reshape(-1).tolist(), rank)
    touched = np.flatnonzero(pads.any(0))
    return {axes[int(position)] for position in touched}
