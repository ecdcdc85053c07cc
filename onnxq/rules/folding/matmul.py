"""MatMul takes factors of rows and columns into its operands.

1. A factor of the result that does not depend on the column scales the left operand, one that
   does not depend on the row the right one: a weight, or whatever computes the operand. So the
   1/sqrt(d) of attention goes into the projection of its queries.
2. A factor on what is summed over goes from one operand into the other.
3. There is no bias to take an addition; one before the product can go on as c·W after it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxq.graph import Node, Tensor, read
from onnxq.rules.folding.affine import ONE, ZERO, Affine, Array, of_rank, onto, placed, varying
from onnxq.rules.folding.plan import Plan, first_of, together
from onnxq.rules.folding.planner import Planner, constants_first

_LARGEST_WEIGHT = 1 << 26
"""Bytes up to which a weight is multiplied by an addend while planning."""


def give(planner: Planner, node: Node, tensor: Tensor, affine: Affine) -> Plan:
    """So that the product is the map of what it is now."""
    if affine.factor.ndim and not _are_matrices(planner, node):
        return f"'{node.name}' multiplies a vector"
    plan = first_of(_one_operand(planner, node, tensor, affine.factor))
    if isinstance(plan, str) or affine.adds_nothing:
        return plan
    return f"'{node.name}' has no bias to take the addition"


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that the product takes operand `index` for the map of it."""
    if not affine.is_uniform and not _are_matrices(planner, node):
        return f"its channels are not what '{node.name}' sums over"
    added = _added(planner, node, index, affine.addend)
    if isinstance(added, str):
        return added
    return first_of(_either_way(planner, node, index, affine.factor, added))


def _are_matrices(planner: Planner, node: Node) -> bool:
    return all((planner.work.rank(t) or 0) >= 2 for t in node.inputs)


def _one_operand(planner: Planner, node: Node, tensor: Tensor, factor: Array) -> Iterator[Plan]:
    for index in constants_first(node, (0, 1)):
        # The left operand knows no columns, the right one no rows.
        apart = factor.ndim == 0 or factor.shape[-1 - index] == 1
        own = onto(factor, planner.work.shape(node.inputs[index])) if apart else None
        if own is None:
            yield f"the channels of '{tensor.name}' are not the columns of '{node.name}'"
        else:
            yield planner.operand(node, index, Affine(own, ZERO))


def _either_way(
    planner: Planner, node: Node, index: int, factor: Array, added: Array
) -> Iterator[Plan]:
    """The factor into the other operand, or on to the readers of the product."""
    summed = factor.ndim - 1 - index
    other = 1 - index
    rank = planner.work.rank(node.inputs[other])
    output = node.outputs[0]
    if varying(factor) <= {summed}:
        own = factor
        if factor.ndim and rank is not None:
            own = placed(factor.reshape(-1), rank - 1 - other, rank)
        plans = (
            planner.operand(node, other, Affine(own, ZERO)),
            _onwards(planner, node, Affine.of(ONE, added)),
        )
        yield together(plans)
    else:
        yield f"its channels are not what '{node.name}' sums over"
    onwards = of_rank(factor, planner.work.rank(output))
    if summed not in varying(factor) and onwards is not None:
        yield _onwards(planner, node, Affine.of(onwards, added))


def _onwards(planner: Planner, node: Node, affine: Affine) -> Plan:
    plan = planner.readers(node.outputs[0], affine)
    if isinstance(plan, str) and not affine.adds_nothing:
        return f"'{node.name}' has no bias to take the addition"
    return plan


def _added(planner: Planner, node: Node, index: int, addend: Array) -> Array | str:
    """What an addition to operand `index` adds to the product."""
    if addend.ndim == 0 and float(addend) == 0.0:
        return ZERO
    weight = planner.weight(node, 1 - index)
    if isinstance(weight, str):
        return weight
    shape = weight.stored.shape
    if len(shape) < 2 or weight.stored.nbytes > _LARGEST_WEIGHT:
        return f"'{node.name}' has no bias to take the addition"
    length = shape[-2] if index == 0 else shape[-1]
    full = addend.reshape((1,) * max(0, 2 - addend.ndim) + addend.shape)
    wanted = list(full.shape)
    wanted[-1 - index] = length
    full = np.broadcast_to(full, wanted)
    value = read(weight).astype(np.float64)
    added = of_rank(
        full @ value if index == 0 else value @ full, planner.work.rank(node.outputs[0])
    )
    return f"the rank of '{node.outputs[0].name}' is not known" if added is None else added
