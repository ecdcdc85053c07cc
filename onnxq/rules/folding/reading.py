"""Operators that are affine maps by constants, and chains of them.

Mul, Add, Sub and Div by a constant, Neg, and BatchNormalization at inference: with
s = gain / √(variance + ε), it is x ↦ s·x + (bias - s·mean) (ONNX BatchNormalization).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from onnxq.graph import Constant, Node, Tensor, bound_constant, read
from onnxq.rules.folding.affine import Affine, Array, of_rank, onto, placed, varying
from onnxq.rules.folding.storing import FLOATS
from onnxq.rules.reasons import varies
from onnxq.rules.workspace import Workspace

STEPS = frozenset(["Mul", "Add", "Sub", "Div", "Neg", "BatchNormalization"])

_LONGEST = 16
_LARGEST = 1 << 20
"""Elements of the largest constant that is read."""

_MAY_WIDEN_TO = 1 << 14
"""Elements that a product of two smaller constants may have."""


@dataclass(frozen=True, eq=False)
class Step:
    """A node that computes affine(x).

    Attributes:
        node: The node.
        index: Which of its inputs x is.
        affine: The map.
        dtype: Element type of x and of the result.
    """

    node: Node
    index: int
    affine: Affine
    dtype: np.dtype[Any]

    @property
    def source(self) -> Tensor:
        """What is mapped."""
        return self.node.inputs[self.index]


@dataclass(frozen=True, eq=False)
class Chain:
    """Steps one behind the other, with nobody else looking in between.

    Attributes:
        steps: The first one first.
        affine: All maps in one.
    """

    steps: tuple[Step, ...]
    affine: Affine

    @property
    def source(self) -> Tensor:
        """What is mapped."""
        return self.steps[0].source

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of what is mapped and of the result."""
        return self.steps[0].dtype

    @property
    def last(self) -> Node:
        """The node that gives the result."""
        return self.steps[-1].node

    @property
    def output(self) -> Tensor:
        """The result."""
        return self.last.outputs[0]


def read_step(work: Workspace, node: Node) -> Step | str | None:
    """A node as a map; None if it is none, or the reason why it nearly is one."""
    if node.op == "BatchNormalization":
        return _batch_norm(work, node)
    if node.op not in STEPS:
        return None
    if node.op == "Neg":
        dtype = work.dtype(node.inputs[0])
        return Step(node, 0, Affine.of(-1.0), dtype) if dtype in FLOATS else None
    known = [bound_constant(tensor) for tensor in node.inputs]
    for index, constant in ((0, known[1]), (1, known[0])):
        if constant is not None and known[index] is None:
            return _by_constant(work, node, index, constant)
    return None


def _by_constant(work: Workspace, node: Node, index: int, constant: Constant) -> Step | str | None:
    source = node.inputs[index]
    dtype = np.dtype(constant.stored.dtype)
    if dtype not in FLOATS or not 0 < constant.size <= _LARGEST:
        return None
    if node.op == "Div" and index == 1:
        return None
    value = _aligned(work, read(constant), source)
    if value is None:
        return None
    if not np.isfinite(value).all():
        return f"'{constant.name}' is not finite"
    if node.op == "Div" and not value.all():
        return f"divides by 0 in '{constant.name}'"
    return Step(node, index, _map(node.op, index, value), dtype)


def _map(op: str, index: int, value: Array) -> Affine:
    if op == "Mul":
        return Affine.of(value)
    if op == "Div":
        return Affine.of(1.0 / value)
    if op == "Add":
        return Affine.of(1.0, value)
    return Affine.of(1.0, -value) if index == 0 else Affine.of(-1.0, value)


def _aligned(work: Workspace, value: Array, source: Tensor) -> Array | None:
    """A constant as a coefficient of `source`; None where it broadcasts `source`."""
    exact = value.astype(np.float64)
    if value.ndim == 0:
        return exact
    grown = of_rank(exact, work.rank(source))
    return None if grown is None else onto(grown, work.shape(source))


def _batch_norm(work: Workspace, node: Node) -> Step | str:
    if node.attrs.get("training_mode", 0) or node.attrs.get("is_test", 1) == 0:
        return "is in training mode"
    if any(t.name and (t.outputs or work.is_held(t)) for t in node.outputs[1:]):
        return "its running statistics are outputs"
    parameters: list[Array] = []
    for tensor in node.inputs[1:5]:
        known = work.value(tensor)
        if known is None:
            return varies(tensor)
        parameters.append(known.astype(np.float64))
    gain, bias, mean, variance = parameters
    rank = work.rank(node.inputs[0])
    if variance.ndim != 1 or node.attrs.get("spatial", 1) == 0:
        return "its statistics are not per channel"
    if rank is None or rank < 2:
        return f"the rank of '{node.inputs[0].name}' is not known"
    dtype = work.dtype(node.inputs[0])
    if dtype is None or dtype not in FLOATS:
        return f"its input is {dtype}"
    with np.errstate(all="ignore"):
        factor = gain / np.sqrt(variance + float(node.attrs.get("epsilon", 1e-5)))
        addend = bias - factor * mean
    affine = Affine.of(placed(factor, 1, rank), placed(addend, 1, rank))
    if not affine.is_finite:
        return "its statistics contain NaN, infinity or a negative variance"
    return Step(node, 0, affine, dtype)


def read_chains(work: Workspace, last: Step, *, widen: bool) -> Iterator[Chain]:
    """The chains in a row of steps, from its last step upwards.

    Args:
        work: The model.
        last: The last step of the row.
        widen: Whether a constant along one axis may join one along another, which gives a
            constant of two axes that fewer operators can take.
    """
    steps, extents = [last], _extents(last.affine)
    before = _step_before(work, last, widen=widen)
    count = 1
    while before is not None and count < _LONGEST:
        own = _extents(before.affine)
        if not _joins(extents, own, widen=widen):
            yield _chain(steps)
            steps, extents = [], {}
        steps.append(before)
        extents |= own
        before = _step_before(work, before, widen=widen)
        count += 1
    yield _chain(steps)


def is_followed(work: Workspace, step: Step, *, widen: bool) -> bool:
    """Whether a row of steps goes on behind this one; its last step is asked for all chains."""
    output = step.node.outputs[0]
    reader = work.only_reader(output, *STEPS)
    behind = None if reader is None else read_step(work, reader)
    if not isinstance(behind, Step) or behind.source is not output:
        return False
    return _joins(_extents(behind.affine), _extents(step.affine), widen=widen)


def _chain(steps: Sequence[Step]) -> Chain:
    affine = steps[0].affine
    for step in steps[1:]:
        affine = affine.after(step.affine)
    return Chain(tuple(reversed(steps)), affine)


def _step_before(work: Workspace, step: Step, *, widen: bool) -> Step | None:
    node = work.producer(step.source, *STEPS)
    if node is None or work.only_reader(step.source) is not step.node:
        return None
    before = read_step(work, node)
    if not isinstance(before, Step):
        return None
    joined = _joins(_extents(step.affine), _extents(before.affine), widen=widen)
    return before if joined else None


def _extents(affine: Affine) -> dict[int, int]:
    """Lengths of the axes on which a map depends."""
    coefficients = (affine.factor, affine.addend)
    return {axis: c.shape[axis] for c in coefficients for axis in varying(c)}


def _joins(outer: Mapping[int, int], inner: Mapping[int, int], *, widen: bool) -> bool:
    """Whether two maps may become one: not if that tells more elements apart than either did."""
    union = {**outer, **inner}
    if len(union) in (len(outer), len(inner)):
        return True
    return widen and prod(union.values()) <= _MAY_WIDEN_TO
