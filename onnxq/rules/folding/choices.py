"""Operators that choose between tensors or bounds, around an affine map.

1. f·max(u, v) + c = max(f·u + c, f·v + c) for f > 0, and so for min; for Where with any f.
   Before a choice, the other operands take the inverse map and those behind the map.
2. f·clip(x, l, h) + c = clip(f·x + c, f·l + c, f·h + c), for one f and c for all elements; the
   bounds change places where f < 0. Relu6 becomes a clip from 0 to 6·f.
3. HardSigmoid(f·x + c; alpha, beta) = HardSigmoid(x; alpha·f, alpha·c + beta), unless it is the
   gate of a HardSwish, which the engine would not know again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import inf, isfinite
from typing import Any

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Affine, of_rank
from onnxq.rules.folding.constants_beside import give_beside, take_beside
from onnxq.rules.folding.plan import Edit, Plan, Values, together
from onnxq.rules.folding.planner import Planner
from onnxq.rules.folding.shields import gates_itself
from onnxq.rules.folding.storing import stored, values_of


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Max, Min or Where gives the map: all that is chosen from must."""
    if node.op != "Where" and not affine.is_positive:
        return f"'{node.name}' ({node.op}) passes no negative factor"
    return together((planner.operand(node, i, affine) for i in _chosen_from(node)), of=node)


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Max, Min or Where takes the map: the others must undo it, and those behind."""
    if node.op != "Where" and not affine.is_positive:
        return f"'{node.name}' ({node.op}) passes no negative factor"
    rank = planner.work.rank(node.outputs[0])
    seen = affine.moved(of_rank(affine.factor, rank), of_rank(affine.addend, rank))
    inverse = None if seen is None else seen.inverse()
    if seen is None or inverse is None:
        return f"a factor before '{node.name}' is 0, or its rank is not known"
    return together(_each(planner, node, index, seen, inverse), of=node)


def _chosen_from(node: Node) -> range:
    return range(1 if node.op == "Where" else 0, len(node.inputs))


def _each(
    planner: Planner, node: Node, index: int, affine: Affine, inverse: Affine
) -> Iterator[Plan]:
    for other in _chosen_from(node):
        if other != index:
            yield planner.operand(node, other, inverse)
    yield planner.readers(node.outputs[0], affine)


def give_clip(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Clip gives the map: its input and its bounds must."""
    return give_beside(planner, node, affine, _new_bounds)


def take_clip(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Clip takes the map: its bounds undo it, and those behind take it."""
    return take_beside(planner, node, index, affine, _new_bounds)


def _new_bounds(planner: Planner, node: Node, affine: Affine) -> Plan:
    if not affine.is_uniform:
        return f"the bounds of '{node.name}' (Clip) are the same for all channels"
    factor, addend = float(affine.factor), float(affine.addend)
    known = [_bound(planner, node, 1, "min", -inf), _bound(planner, node, 2, "max", inf)]
    found = [None if bound is None else factor * bound + addend for bound in known]
    if factor < 0:
        found.reverse()
    low, high = found
    if low is None or high is None or factor == 0.0:
        return f"the bounds of '{node.name}' (Clip) are computed"
    if planner.work.opset < 11:
        attrs = {"min": low if low > -inf else None, "max": high if high < inf else None}
        return (Edit(node, attrs=attrs),)
    wanted = {1: low, 2: high}
    given = {i: b for i, b in wanted.items() if isfinite(b) or planner.work.input(node, i)}
    return (Edit(node, partial(_bounds, given, planner.dtype)),)


def _bound(planner: Planner, node: Node, index: int, attribute: str, absent: float) -> float | None:
    tensor = planner.work.input(node, index)
    if tensor is None:
        return float(node.attrs.get(attribute, absent))
    return planner.work.scalar(tensor)


def _bounds(bounds: dict[int, float], dtype: np.dtype[Any]) -> Values | str:
    return values_of({index: stored(np.asarray(b), dtype) for index, b in bounds.items()})


def take_hard_sigmoid(_planner: Planner, node: Node, _index: int, affine: Affine) -> Plan:
    """So that HardSigmoid takes the map: into its line."""
    if gates_itself(node):
        return f"'{node.name}' is part of a HardSwish"
    if not affine.is_uniform:
        return f"the line of '{node.name}' (HardSigmoid) is the same for all channels"
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    line = Affine.of(alpha, beta).after(affine)
    return (Edit(node, attrs={"alpha": float(line.factor), "beta": float(line.addend)}),)
