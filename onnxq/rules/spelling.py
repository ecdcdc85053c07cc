"""One meaning, many spellings: read sums, products and clips whatever operators spell them.

Exporters write 0.5·x as Mul(x, 0.5), Mul(0.5, x) or Div(x, 2); a clip as Clip, Relu, Min, Max
or two of them. Rules ask for the meaning.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from onnxq.graph import Node, Tensor
from onnxq.rules.workspace import Workspace

_DEPTH = 8
_CLIPS = ("Clip", "Relu", "Min", "Max")
_AFFINE = ("Mul", "Div", "Add", "Sub", "Neg")


class ScaledSum(NamedTuple):
    """A tensor read as factor · source + addend, with scalars.

    Attributes:
        source: The tensor behind.
        factor: What it is multiplied by.
        addend: What is added then.
        nodes: The nodes that spell it, the last one first; empty for 1 · source + 0.
    """

    source: Tensor
    factor: float = 1.0
    addend: float = 0.0
    nodes: tuple[Node, ...] = ()


class Product(NamedTuple):
    """A tensor read as factor · f1 · f2 · …, with a scalar factor.

    Attributes:
        factor: The product of all scalar constants.
        factors: The tensors multiplied, in the order met.
        nodes: The nodes that spell it, the last one first.
    """

    factor: float
    factors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]


class Bounds(NamedTuple):
    """A tensor read as clip(source, low, high); a bound that is not there is infinite."""

    source: Tensor
    low: float = -inf
    high: float = inf
    nodes: tuple[Node, ...] = ()


def scalar_operand(work: Workspace, node: Node) -> tuple[Tensor, float, int] | None:
    """(the other operand, the scalar, the scalar's position) of a node of two operands.

    The scalar must not broadcast the other operand to a higher rank.
    """
    if len(node.inputs) != 2:
        return None
    for index in (1, 0):
        value = work.scalar(node.inputs[index])
        other = node.inputs[1 - index]
        if value is not None and keeps_shape(work, other, node.inputs[index]):
            return other, value, index
    return None


def keeps_shape(work: Workspace, tensor: Tensor, scalar: Tensor) -> bool:
    """Whether a one-element constant leaves the rank of `tensor` as it is."""
    rank = work.rank(scalar) or 0
    return rank == 0 or rank <= (work.rank(tensor) or 0)


def scaled_sum(work: Workspace, tensor: Tensor, depth: int = _DEPTH) -> ScaledSum:
    """Read scalar Mul, Div, Add, Sub and Neg back to the tensor behind them."""
    factor, addend, nodes = 1.0, 0.0, list[Node]()
    while len(nodes) < depth:
        node = work.producer(tensor, *_AFFINE)
        step = None if node is None else affine_step(work, node)
        if node is None or step is None:
            break
        tensor, inner_factor, inner_addend = step
        addend += factor * inner_addend
        factor *= inner_factor
        nodes.append(node)
    return ScaledSum(tensor, factor, addend, tuple(nodes))


def affine_step(work: Workspace, node: Node) -> tuple[Tensor, float, float] | None:
    """(x, factor, addend) of a node that computes factor · x + addend with scalars."""
    if node.op == "Neg":
        return node.inputs[0], -1.0, 0.0
    found = scalar_operand(work, node)
    if found is None:
        return None
    other, value, position = found
    if node.op == "Mul":
        return other, value, 0.0
    if node.op == "Add":
        return other, 1.0, value
    if node.op == "Sub":
        return (other, 1.0, -value) if position == 1 else (other, -1.0, value)
    if node.op == "Div" and position == 1 and value != 0.0:
        return other, 1.0 / value, 0.0
    return None


def product(work: Workspace, tensor: Tensor, depth: int = _DEPTH) -> Product:
    """Read Mul, Neg and Div by scalars back to the tensors multiplied.

    Inner products are opened only where nobody else reads them.
    """
    factor, factors, nodes = 1.0, list[Tensor](), list[Node]()
    pending = [tensor]
    while pending:
        current = pending.pop(0)
        node = work.producer(current, "Mul", "Div", "Neg")
        inner = bool(nodes) and work.only_reader(current) is None
        step = None if node is None else affine_step(work, node)
        if node is None or inner or len(nodes) >= depth or (node.op == "Div" and step is None):
            factors.append(current)
            continue
        nodes.append(node)
        if step is not None:
            factor *= step[1]
            pending.insert(0, step[0])
        else:
            pending[:0] = node.inputs
    return Product(factor, tuple(factors), tuple(nodes))


def square(work: Workspace, tensor: Tensor) -> tuple[Tensor, Node] | None:
    """(a, the node) of a tensor that is a·a or a to the power of 2."""
    node = work.producer(tensor, "Mul", "Pow")
    if node is None or len(node.inputs) != 2:
        return None
    base, other = node.inputs
    if node.op == "Mul":
        return (base, node) if base is other else None
    return (base, node) if work.scalar(other) == 2.0 and keeps_shape(work, base, other) else None


def bounds(work: Workspace, tensor: Tensor, depth: int = 4) -> Bounds:
    """Read Clip, Relu, Min and Max with scalars back to the tensor behind them.

    An inner bound that an outer one crosses (low above high) ends the reading.
    """
    low, high, nodes = -inf, inf, list[Node]()
    while len(nodes) < depth:
        node = work.producer(tensor, *_CLIPS)
        step = None if node is None else bound_step(work, node)
        if node is None or step is None:
            break
        source, inner_low, inner_high = step
        if max(inner_low, low) > min(inner_high, high):
            break
        tensor, low, high = source, max(low, inner_low), min(high, inner_high)
        nodes.append(node)
    return Bounds(tensor, low, high, tuple(nodes))


def bound_step(work: Workspace, node: Node) -> tuple[Tensor, float, float] | None:
    """(x, low, high) of a Clip, Relu, Min or Max that computes clip(x, low, high)."""
    if node.op == "Relu":
        return node.inputs[0], 0.0, inf
    if node.op == "Clip":
        return _clip_step(work, node)
    found = scalar_operand(work, node)
    if found is None:
        return None
    return (found[0], found[1], inf) if node.op == "Max" else (found[0], -inf, found[1])


def _clip_step(work: Workspace, node: Node) -> tuple[Tensor, float, float] | None:
    limits: list[float] = []
    for index, attribute, absent in ((1, "min", -inf), (2, "max", inf)):
        tensor = work.input(node, index)
        known = node.attrs.get(attribute, absent) if tensor is None else work.scalar(tensor)
        if known is None:
            return None
        limits.append(float(known))
    return node.inputs[0], limits[0], limits[1]


def close(found: float, wanted: float, tolerance: float = 1e-6) -> bool:
    """Whether a constant in a file is the one of a formula, rounded to float32 or printed short."""
    return abs(found - wanted) <= tolerance * max(1.0, abs(wanted))
