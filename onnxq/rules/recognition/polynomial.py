"""Read an expression as a polynomial of one tensor."""

from __future__ import annotations

from onnxq.graph import Tensor
from onnxq.rules.spelling import affine_step, keeps_shape
from onnxq.rules.workspace import Workspace

_DEPTH = 8
_DEGREE = 4

Polynomial = dict[int, float]
"""Coefficients by power; powers with coefficient 0 are left out."""


def polynomial(
    work: Workspace, tensor: Tensor, source: Tensor, depth: int = _DEPTH
) -> Polynomial | None:
    """A tensor as a polynomial of `source`, by scalar operations, products, sums and Pow.

    Returns:
        None if the tensor depends on anything else, or the degree exceeds 4.
    """
    if tensor is source:
        return {1: 1.0}
    node = work.producer(tensor, "Mul", "Div", "Add", "Sub", "Neg", "Pow")
    if node is None or depth == 0:
        return None
    step = affine_step(work, node)
    if step is not None:
        inner = polynomial(work, step[0], source, depth - 1)
        return None if inner is None else _sum(_scaled(inner, step[1]), {0: step[2]})
    first = polynomial(work, node.inputs[0], source, depth - 1)
    if first is None:
        return None
    if node.op == "Pow":
        exponent = work.scalar(node.inputs[1])
        fits = keeps_shape(work, node.inputs[0], node.inputs[1])
        return _power(first, exponent) if fits and exponent in (1.0, 2.0, 3.0) else None
    second = polynomial(work, node.inputs[1], source, depth - 1)
    if second is None or node.op == "Div":
        return None
    if node.op == "Mul":
        return _product(first, second)
    return _sum(first, _scaled(second, 1.0 if node.op == "Add" else -1.0))


def _scaled(terms: Polynomial, factor: float) -> Polynomial:
    return {power: factor * value for power, value in terms.items()}


def _sum(first: Polynomial, second: Polynomial) -> Polynomial:
    powers = sorted({*first, *second})
    terms = {power: first.get(power, 0.0) + second.get(power, 0.0) for power in powers}
    return {power: value for power, value in terms.items() if value != 0.0}


def _product(first: Polynomial, second: Polynomial) -> Polynomial | None:
    terms: Polynomial = {}
    for power, value in first.items():
        for other, factor in second.items():
            terms = _sum(terms, {power + other: value * factor})
    return terms if all(power <= _DEGREE for power in terms) else None


def _power(terms: Polynomial, exponent: float | None) -> Polynomial | None:
    result: Polynomial | None = {0: 1.0}
    for _ in range(int(exponent or 0)):
        result = None if result is None else _product(result, terms)
    return result
