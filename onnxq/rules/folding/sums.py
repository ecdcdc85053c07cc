"""Add, Sub and Sum around an affine map.

With f the factor and c the addend, u and v the operands:

1. After:  f·(u + v) + c = (f·u + c) + f·v: the addition into one operand, the factor into all.
2. Before: (f·u + c) + v = f·(u + (v + c)/f), or f·(u + v/f) + c: the other operand takes the
   inverse factor, with or without the addition, and those behind take the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import ONE, Affine, of_rank
from onnxq.rules.folding.plan import Plan, first_of, together
from onnxq.rules.folding.planner import Planner, constants_first
from onnxq.rules.folding.shields import makes_gelu


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that the sum is the map of what it is now."""
    if makes_gelu(planner.work, node):
        return f"'{node.name}' is part of a GELU"
    return first_of(_given(planner, node, affine))


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that the sum takes operand `index` for the map of it."""
    if makes_gelu(planner.work, node):
        return f"'{node.name}' is part of a GELU"
    rank = planner.work.rank(node.outputs[0])
    seen = affine.moved(of_rank(affine.factor, rank), of_rank(affine.addend, rank))
    if seen is None:
        return f"the rank of '{node.outputs[0].name}' is not known"
    inverse = seen.scaling.inverse()
    if inverse is None:
        return f"a factor before '{node.name}' is 0"
    return first_of(_taken(planner, node, index, seen, inverse))


def _signs(node: Node) -> Sequence[int]:
    return (1, -1) if node.op == "Sub" else (1,) * len(node.inputs)


def _given(planner: Planner, node: Node, affine: Affine) -> Iterator[Plan]:
    signs = _signs(node)
    everyone = range(len(signs))
    for chosen in constants_first(node, everyone):
        whole = Affine(affine.factor, signs[chosen] * affine.addend)
        yield together(
            (planner.operand(node, i, whole if i == chosen else affine.scaling) for i in everyone),
            of=node,
        )


def _taken(
    planner: Planner, node: Node, index: int, affine: Affine, inverse: Affine
) -> Iterator[Plan]:
    """The addition into each of the others in turn, or on to those behind."""
    signs, output = _signs(node), node.outputs[0]
    others = [i for i in range(len(signs)) if i != index]
    for chosen in constants_first(node, others):
        # The addition comes with the sign of its operand, and leaves with that of the other.
        moved = Affine(ONE, signs[index] * signs[chosen] * affine.addend)
        maps = {i: inverse.after(moved) if i == chosen else inverse for i in others}
        plans = [*((i, maps[i]) for i in others)]
        yield together(
            (
                *(planner.operand(node, i, own) for i, own in plans),
                planner.readers(output, affine.scaling),
            ),
            of=node,
        )
    rest = Affine(affine.factor, signs[index] * affine.addend)
    yield together(
        (*(planner.operand(node, i, inverse) for i in others), planner.readers(output, rest)),
        of=node,
    )
