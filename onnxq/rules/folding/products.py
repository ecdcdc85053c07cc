"""Mul, Div and Neg around an affine map.

With f the factor and c the addend, u and v the operands:

1. After:  f·(u·v) = (f·u)·v = u·(f·v), and f·(u/v) = (f·u)/v = u/(v/f).
2. Before: (f·u + c)·v = u·(f·v) + c·v = f·(u·v) + c·v, where v must be a constant unless c is 0;
   u/(f·v) = (u/f)/v = (u/v)/f.

An operand that is a constant is simply mapped. The products of a GELU stay as they are: the
engine would not know it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.graph import Node, Tensor, read
from onnxq.rules.folding.affine import ONE, ZERO, Affine, Array, of_rank
from onnxq.rules.folding.plan import Plan, first_of, together
from onnxq.rules.folding.planner import Planner, constants_first
from onnxq.rules.folding.shields import makes_gelu


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Mul or Div gives the map: the factor goes into one operand."""
    inverse = affine.inverse() if node.op == "Div" else affine
    if makes_gelu(planner.work, node):
        return f"'{node.name}' is part of a GELU"
    if not affine.adds_nothing:
        return f"'{node.name}' ({node.op}) takes no addition"
    if inverse is None:
        return f"a factor behind '{node.name}' is 0"
    maps = (affine, inverse)
    return first_of(planner.operand(node, i, maps[i]) for i in constants_first(node, (0, 1)))


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Mul or Div takes the map: the other operand must, or all that read the result."""
    if makes_gelu(planner.work, node):
        return f"'{node.name}' is part of a GELU"
    rank = planner.work.rank(node.outputs[0])
    seen = affine.moved(of_rank(affine.factor, rank), of_rank(affine.addend, rank))
    if seen is None:
        return f"the rank of '{node.outputs[0].name}' is not known"
    added = _added(planner, node, index, seen.addend)
    if isinstance(added, str):
        return added
    scaling, inverse = seen.scaling, seen.scaling.inverse()
    if node.op == "Div" and inverse is None:
        return f"a factor before '{node.name}' is 0"
    if inverse is None or node.op == "Mul":
        return first_of(_ways(planner, node, 1 - index, scaling, scaling, added))
    passed = inverse if index == 1 else scaling
    return first_of(_ways(planner, node, 1 - index, inverse, passed, added))


def give_negative(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Neg gives the map: f·(-u) + c = -(f·u - c)."""
    return planner.operand(node, 0, Affine(affine.factor, -affine.addend))


def take_negative(planner: Planner, node: Node, _index: int, affine: Affine) -> Plan:
    """So that Neg takes the map: -(f·u + c) = f·(-u) - c."""
    return planner.readers(node.outputs[0], Affine(affine.factor, -affine.addend))


def _ways(
    planner: Planner, node: Node, other: int, mapped: Affine, passed: Affine, added: Array
) -> Iterator[Plan]:
    """The factor into the other operand, or on to the readers; the addition always goes on."""
    into_other = (
        planner.operand(node, other, mapped),
        planner.readers(node.outputs[0], Affine(ONE, added)),
    )
    yield together(into_other)
    yield planner.readers(node.outputs[0], Affine(passed.factor, added))


def _added(planner: Planner, node: Node, index: int, addend: Array) -> Array | str:
    """What an addition to operand `index` adds to the result."""
    if addend.ndim == 0 and float(addend) == 0.0:
        return ZERO
    if node.op == "Div" and index == 1:
        return f"'{node.name}' (Div) takes no addition to its denominator"
    other = planner.weight(node, 1 - index, "operand")
    if isinstance(other, str):
        return other
    known = Affine.of(read(other))
    gain = known.inverse() if node.op == "Div" else known
    rank = planner.work.rank(node.outputs[0])
    own = None if gain is None else of_rank(gain.factor, rank)
    if own is None:
        return f"'{node.name}' divides by 0, or its rank is not known"
    return Affine.of(1.0, own * addend).addend
