"""Gemm and MatMul: what is summed over is one channel in both operands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxq.coupling.factors import DeadArray, Factor, Factors
from onnxq.coupling.groups import Side
from onnxq.coupling.leaking import leak, use
from onnxq.coupling.merging import merge, operand
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node


def pass_gemm(walk: Walk, node: Node) -> None:
    """Gemm: alpha · A' · B' + beta · C."""
    shapes = [walk.shape(t) for t in node.inputs[:2]]
    result = walk.shape(node.outputs[0])
    if any(s is None for s in shapes) or result is None:
        stop(walk, node, "has an unknown shape")
        return
    a, b = _transposed(walk, node, 0, "transA"), _transposed(walk, node, 1, "transB")
    size = shapes[0][0 if node.attrs.get("transA", 0) else 1] if shapes[0] else 0
    found = contract(walk, node, a, b, ((result[0], size), (size, result[1])))
    bias = walk.shapes.input(node, 2)
    if bias is not None:
        shape = walk.shape(bias)
        if shape is None:
            stop(walk, node, "has a bias of unknown shape")
            return
        factors = walk.flowing(node, 2)
        own = operand(walk, node.outputs[0].name, result, found, 2)
        other = operand(walk, bias.name, shape, factors, 2)
        # What a bias without channels adds to a masked channel goes on into the next layers.
        found = merge(walk, node, [own, other], lambda values: values[0] + values[1])
    walk.emit(node.outputs[0], [Factor(f.labels, f.dead) for f in found])


def _transposed(walk: Walk, node: Node, index: int, attribute: str) -> Factors:
    found = walk.factors(node.inputs[index])
    if not node.attrs.get(attribute, 0):
        return found
    return tuple(Factor(f.labels.T, f.dead.T, f.sources) for f in found)


def pass_matmul(walk: Walk, node: Node) -> None:
    """MatMul of matrices, in any number of batches."""
    a, b = (walk.shape(t) for t in node.inputs[:2])
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        stop(walk, node, "has a vector among its operands, or an unknown shape")
        return
    factors = [walk.factors(t) for t in node.inputs[:2]]
    walk.emit(node.outputs[0], contract(walk, node, factors[0], factors[1], (a, b)))


def contract(
    walk: Walk,
    node: Node,
    left: Factors,
    right: Factors,
    shapes: tuple[Sequence[int], Sequence[int]],
) -> Factors:
    """Factors of [… m, k] times [… k, n].

    Args:
        walk: The walk.
        node: The layer.
        left: Factors of the first operand.
        right: Factors of the second operand.
        shapes: Their shapes.
    """
    first, second = shapes
    rank = max(len(first), len(second))
    own = operand(walk, node.inputs[0].name, tuple(first), left, rank)
    other = operand(walk, node.inputs[1].name, tuple(second), right, rank)
    a, k_left = _summed(walk, node, own.factors, rank - 1, rank - 2)
    b, k_right = _summed(walk, node, other.factors, rank - 2, rank - 1)
    rests = _sum(walk, node, k_left, k_right)
    operands = []
    for name, shape, factors, gone in (
        (node.inputs[0].name, own.shape, a, rank - 1),
        (node.inputs[1].name, other.shape, b, rank - 2),
    ):
        flat = tuple(1 if axis == gone else n for axis, n in enumerate(shape))
        for factor in factors:
            use(walk, node, factor, Side.OUTPUT)
        own_rests = tuple(f for f in rests if all(shape[a] > 1 for a in f.axes))
        operands.append(operand(walk, name, flat, (*factors, *own_rests), rank))
    found = merge(walk, node, operands, _zero_or_unknown)
    return tuple(Factor(f.labels, f.dead) for f in found)


def _zero_or_unknown(values: Sequence[DeadArray]) -> DeadArray:
    """A sum of products is zero where one operand is; nothing else is known of it."""
    return np.where(np.any([v == 0 for v in values], 0), 0.0, np.nan)


def _summed(
    walk: Walk, node: Node, factors: Factors, axis: int, other: int
) -> tuple[list[Factor], list[Factor]]:
    """Factors that do not depend on the axis summed over, and those that do."""
    rest, found = [], []
    for factor in factors:
        if axis not in factor.axes:
            rest.append(factor)
            continue
        reason = f"'{node.name}' ({node.op}) sums over it"
        found.append(walk.forbid(factor, [other], reason))
    return rest, found


def _sum(walk: Walk, node: Node, left: Sequence[Factor], right: Sequence[Factor]) -> Factors:
    """Unite what is summed over.

    Returns:
        Factors of the batch axes: a batch whose channels all go, goes as a whole.
    """
    both = (*left, *right)
    for factor in both:
        use(walk, node, factor, Side.INPUT, masked=False)
    if len(left) != 1 or len(right) != 1:
        other = node.inputs[0 if right and not left else 1]
        why = walk.why.get(other.name, "has no channels of its own")
        if both:
            walk.freeze(both, f"'{other.name}' {why}")
        return ()
    one = left[0].labels[..., 0, :]
    two = right[0].labels[..., :, 0]
    first, second = left[0].dead[..., 0, :], right[0].dead[..., :, 0]
    walk.labels.unite(one, two)
    labels = one if one.size >= two.size else two
    a, b = (
        np.broadcast_to(d, labels.shape)
        for d in (
            np.full(first.shape, np.nan) if left[0].sources else first,
            np.full(second.shape, np.nan) if right[0].sources else second,
        )
    )
    silent = (a == 0) | (b == 0)
    if left[0].sources or right[0].sources:
        inner = left[0] if left[0].sources else right[0]
        values = b if left[0].sources else a
        leak(walk, node, labels.reshape(-1), values.reshape(-1), inner)
    elif not silent.all():
        leak(walk, node, labels[~silent], np.full(int((~silent).sum()), np.nan), None)
    batch = labels.shape[:-1]
    if all(length == 1 for length in batch):
        return ()
    made = walk.labels.fresh(int(np.prod(batch))).reshape(batch)
    walk.follow(made[..., None], labels, f"'{node.name}' ({node.op}) keeps every batch")
    wide = made[..., None, None]
    return (Factor(wide, np.full(wide.shape, np.nan)),)
