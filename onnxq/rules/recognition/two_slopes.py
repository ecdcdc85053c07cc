"""Tensors that follow another one with one slope where it is positive and one where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from onnxq.graph import Node, Tensor
from onnxq.rules.spelling import affine_step, bound_step, scalar_operand
from onnxq.rules.workspace import Workspace

_DEPTH = 5

_BENDING = ("Abs", "LeakyRelu", "Mul", "Div", "Neg", "Clip", "Relu", "Min", "Max")

_COMPARISONS = {"Greater": True, "GreaterOrEqual": True, "Less": False, "LessOrEqual": False}
"""Whether they hold for large first operands."""


class TwoSlopes(NamedTuple):
    """A tensor read as positive · x where x > 0, and negative · x elsewhere.

    Attributes:
        source: The tensor x.
        positive: Slope on the positive side.
        negative: Slope on the negative side.
        nodes: The nodes that spell it, the last one first.
    """

    source: Tensor
    positive: float = 1.0
    negative: float = 1.0
    nodes: tuple[Node, ...] = ()

    @property
    def is_line(self) -> bool:
        """Whether both slopes are one."""
        return self.positive == self.negative


def readings(work: Workspace, tensor: Tensor) -> Iterator[TwoSlopes]:
    """The tensor itself, then what it is of the tensors further and further back."""
    read = TwoSlopes(tensor)
    for _ in range(_DEPTH):
        yield read
        node = work.producer(read.source, *_BENDING)
        step = None if node is None else _slopes(work, node)
        if node is None or step is None:
            return
        source, above, below = step
        read = TwoSlopes(
            source,
            above * (read.positive if above > 0 else read.negative),
            below * (read.positive if below < 0 else read.negative),
            (*read.nodes, node),
        )


def common(work: Workspace, first: Tensor, second: Tensor) -> tuple[TwoSlopes, TwoSlopes] | None:
    """Two tensors read back to the nearest tensor that both follow."""
    known = {id(read.source): read for read in readings(work, first)}
    for read in readings(work, second):
        if id(read.source) in known:
            return known[id(read.source)], read
    return None


def chosen_by_sign(work: Workspace, node: Node) -> tuple[Tensor, Tensor, Tensor] | None:
    """(x, the result where x > 0, the result elsewhere) of a Where that asks for x's sign."""
    condition = work.producer(node.inputs[0], *_COMPARISONS)
    found = None if condition is None else scalar_operand(work, condition)
    if condition is None or found is None or found[1] != 0.0:
        return None
    compared, _, zero = found
    if _COMPARISONS[condition.op] == (zero == 1):
        return compared, node.inputs[1], node.inputs[2]
    return compared, node.inputs[2], node.inputs[1]


def _slopes(work: Workspace, node: Node) -> tuple[Tensor, float, float] | None:
    """(x, slope of x > 0, slope of x < 0) of a bending node of one input, or with scalars."""
    if node.op == "Abs":
        return node.inputs[0], 1.0, -1.0
    if node.op == "LeakyRelu":
        return node.inputs[0], 1.0, float(node.attrs.get("alpha", 0.01))
    if node.op in ("Mul", "Div", "Neg"):
        step = affine_step(work, node)
        return None if step is None else (step[0], step[1], step[1])
    clip = bound_step(work, node)
    if clip is None or clip[1:] not in ((0.0, inf), (-inf, 0.0)):
        return None
    source, low, high = clip
    return source, float(high > 0), float(low < 0)
