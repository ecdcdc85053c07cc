"""Functions of one tensor, and of several that are broadcast to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling.factors import DeadArray, Factor
from onnxq.coupling.functions import apply
from onnxq.coupling.groups import Side
from onnxq.coupling.merging import Combine, Operand, merge, operand
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node

MOVING = frozenset(["Cast", "Dropout", "Identity"])
"""Functions that leave values as they are: constants pass them as constants."""

_ZEROED = frozenset(["Add", "Sub", "Mul", "Sum", "Mean"])
"""Operators whose constant operands become zero to mask a channel."""


def pass_unary(walk: Walk, node: Node) -> None:
    """A function of each element by itself."""
    if node.op in MOVING:
        walk.emit(node.outputs[0], [f.moved(lambda a: a) for f in walk.factors(node.inputs[0])])
    else:
        factors = walk.flowing(node, 0, masked=False)
        walk.emit(node.outputs[0], [Factor(f.labels, apply(node, f.dead)) for f in factors])
    _remember(walk, node)


def pass_clip(walk: Walk, node: Node) -> None:
    """Clip, whose bounds are attributes or inputs."""
    bounds = [_bound(walk, node, i, name) for i, name in ((1, "min"), (2, "max"))]
    found = []
    for factor in walk.flowing(node, 0, masked=False):
        low, high = (np.float64(b) for b in bounds)
        dead = np.minimum(np.maximum(factor.dead, low), high)
        found.append(Factor(factor.labels, np.where(np.isfinite(dead), dead, np.nan)))
    walk.emit(node.outputs[0], found)
    _remember(walk, node)


def _bound(walk: Walk, node: Node, index: int, name: str) -> float:
    """A bound of Clip; NaN where it is not known."""
    default = -np.inf if name == "min" else np.inf
    given = walk.shapes.input(node, index)
    if given is None:
        return float(node.attrs.get(name, default))
    value = walk.shapes.value(given)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else np.nan


def pass_broadcast(walk: Walk, node: Node) -> None:
    """Add, Mul and all others that broadcast their operands."""
    shapes = [walk.shape(t) for t in node.inputs]
    if any(s is None for s in shapes):
        stop(walk, node, "has operands of unknown shape")
        return
    known = [s for s in shapes if s is not None]
    rank = max(map(len, known))
    all_factors = [walk.factors(t) for t in node.inputs]
    constant = all(f.sources for factors in all_factors for f in factors)
    keeps = constant and node.op in ("Add", "Sub", "Mul")
    operands: list[Operand] = []
    for tensor, shape, factors in zip(node.inputs, known, all_factors, strict=True):
        masked = node.op in _ZEROED
        if not keeps:
            for factor in factors:
                walk.use(factor, Side.BESIDE, node, masked=masked)
        if not masked:
            # What is not zeroed keeps a value of its own.
            factors = tuple(f.with_dead(np.nan) if f.sources else f for f in factors)
        operands.append(operand(walk, tensor.name, shape, factors, rank))
    found = merge(walk, node, operands, BROADCAST[node.op])
    kept = found if keeps else [Factor(f.labels, f.dead) for f in found]
    walk.emit(node.outputs[0], kept)
    _remember(walk, node)


def _remember(walk: Walk, node: Node) -> None:
    """What has no channels because its input has none says the same reason."""
    reasons = [walk.why[t.name] for t in node.inputs if t.name in walk.why]
    if reasons:
        walk.why.setdefault(node.outputs[0].name, reasons[0])


def _product(values: Sequence[DeadArray]) -> DeadArray:
    """Zero times whatever finite is zero."""
    return reduce(lambda a, b: np.where((a == 0) | (b == 0), 0.0, a * b), values)


def _quotient(values: Sequence[DeadArray]) -> DeadArray:
    a, b = values
    return np.where((a == 0) & (b != 0), 0.0, a / b)


def _power(values: Sequence[DeadArray]) -> DeadArray:
    a, b = values
    return np.where(np.isnan(a) | np.isnan(b), np.nan, a**b)


def _slope(values: Sequence[DeadArray]) -> DeadArray:
    x, slope = values
    return np.where(x >= 0, x, slope * x)


def _choice(values: Sequence[DeadArray]) -> DeadArray:
    condition, a, b = values
    chosen = np.where(condition != 0, a, b)
    return np.where(a == b, a, np.where(np.isnan(condition), np.nan, chosen))


def _all(function: Callable[[DeadArray, DeadArray], DeadArray]) -> Combine:
    return lambda values: reduce(function, values)


def _logical(function: Callable[[DeadArray, DeadArray], NDArray[np.bool_]]) -> Combine:
    """A function whose result is true or false, if both operands are known."""

    def rule(values: Sequence[DeadArray]) -> DeadArray:
        a, b = values
        return np.where(np.isnan(a) | np.isnan(b), np.nan, function(a, b))

    return rule


BROADCAST: Mapping[str, Combine] = {
    "Add": _all(np.add),
    "And": _logical(np.logical_and),
    "Div": _quotient,
    "Equal": _logical(np.equal),
    "Greater": _logical(np.greater),
    "GreaterOrEqual": _logical(np.greater_equal),
    "Less": _logical(np.less),
    "LessOrEqual": _logical(np.less_equal),
    "Max": _all(np.maximum),
    "Mean": lambda values: np.asarray(sum(values) / len(values)),
    "Min": _all(np.minimum),
    "Mul": _product,
    "Or": _logical(np.logical_or),
    "PRelu": _slope,
    "Pow": _power,
    "Sub": _all(np.subtract),
    "Sum": _all(np.add),
    "Where": _choice,
    "Xor": _logical(np.logical_xor),
}
