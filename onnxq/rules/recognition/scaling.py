"""Scalar factors of products: where one stands does not matter, so they can be moved and met."""

from __future__ import annotations

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.spelling import ScaledSum, affine_step, close, scalar_operand, scaled_sum
from onnxq.rules.workspace import Workspace

_CLIMB = 4
_DEPTH = 8


def top_of_product(work: Workspace, node: Node) -> Node:
    """The last of the nodes that only scale the result of `node`, or `node` itself."""
    for _ in range(_CLIMB):
        reader = work.only_reader(node.outputs[0], "Mul", "Div", "Neg")
        if reader is None or affine_step(work, reader) is None:
            break
        node = reader
    return node


def own_sum(work: Workspace, tensor: Tensor) -> ScaledSum:
    """As `scaled_sum`, but further back only through tensors that nobody else reads."""
    factor, addend, nodes = 1.0, 0.0, list[Node]()
    while len(nodes) < _DEPTH and (not nodes or work.only_reader(tensor) is not None):
        node = work.producer(tensor, "Mul", "Div", "Add", "Sub", "Neg")
        step = None if node is None else affine_step(work, node)
        if node is None or step is None:
            break
        tensor, addend, factor = step[0], addend + factor * step[2], factor * step[1]
        nodes.append(node)
    return ScaledSum(tensor, factor, addend, tuple(nodes))


def climb(work: Workspace, tensor: Tensor) -> ScaledSum:
    """What the scalar operations that follow a tensor alone make of it: `source` is the result.

    The result is factor · tensor + addend.
    """
    factor, addend, nodes = 1.0, 0.0, list[Node]()
    while len(nodes) < _CLIMB:
        node = work.only_reader(tensor, "Add", "Sub", "Mul", "Div", "Neg")
        step = None if node is None else affine_step(work, node)
        if node is None or step is None:
            break
        factor, addend = step[1] * factor, step[1] * addend + step[2]
        tensor = node.outputs[0]
        nodes.append(node)
    return ScaledSum(tensor, factor, addend, tuple(nodes))


def multiple_of(work: Workspace, tensor: Tensor, source: Tensor) -> float | None:
    """The scalar c of a tensor that is c · source; None if it is none."""
    for depth in range(_CLIMB):
        line = scaled_sum(work, tensor, depth)
        if line.source is source and line.addend == 0.0:
            return line.factor
    return None


def until_one(work: Workspace, node: Node, factor: float) -> Node | None:
    """The first of a node and those that only scale it, at which `factor` has become 1."""
    for _ in range(_CLIMB):
        if close(factor, 1.0):
            return node
        reader = work.only_reader(node.outputs[0], "Mul", "Div", "Neg")
        step = None if reader is None else affine_step(work, reader)
        if reader is None or step is None:
            break
        node, factor = reader, factor * step[1]
    return None


def scaled(work: Workspace, tensor: Tensor, factor: float, name: str) -> Tensor:
    """A float32 tensor times a factor; the tensor itself where the factor is 1."""
    if close(factor, 1.0):
        return tensor
    known = work.constant(f"{name}_factor", np.float32(factor))
    return work.add("Mul", [tensor, known], name=f"{name}_scaled", shape=work.shape(tensor))


def absorber(work: Workspace, tensor: Tensor) -> Node | None:
    """The next node that scales the products which `tensor` alone goes into, if there is one."""
    for _ in range(_CLIMB):
        node = work.only_reader(tensor, "Mul", "Div")
        if node is None:
            return None
        found = scalar_operand(work, node)
        if found is not None:
            return node if node.op == "Mul" or found[2] == 1 else None
        if node.op == "Div" and node.inputs[1] is tensor:
            return None
        tensor = node.outputs[0]
    return None


def absorb(work: Workspace, node: Node, factor: float) -> None:
    """Let a node that `absorber` found multiply by `factor` too; it vanishes if nothing is left."""
    found = scalar_operand(work, node)
    if found is None:
        return
    other, value, position = found
    new = value / factor if node.op == "Div" else value * factor
    if close(new, 1.0) and not work.obstacle(node.outputs[0], other):
        work.substitute(node.outputs[0], other)
        return
    old = node.inputs[position]
    # Of the same rank and type, so that nothing around it changes.
    filled = np.full_like(work.value(old), new)
    work.rewire(node, position, work.constant(old.name, filled))
