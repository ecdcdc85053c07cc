"""Sigmoid, SiLU and Tanh spelled as quotients of exponentials.

With Sigmoid(x) = 1 / (1 + e^-x) (ONNX Sigmoid),

    e^(a·x) / (e^(a·x) + e^(b·x)) = Sigmoid((a - b)·x)
    (e^(a·x) - e^(b·x)) / (e^(a·x) + e^(b·x)) = Tanh((a - b)/2 · x)
    y / (1 + e^(b·x)) = y · Sigmoid(-b·x)

where either rate may be 0 (the constant 1), so that 1 / (1 + e^-x), e^x / (1 + e^x),
(e^x - e^-x) / (e^x + e^-x) and (1 - e^-2x) / (1 + e^-2x) are all met. A common factor of numerator
or denominator stays as one Mul.

Caveats: the spelled quotients overflow to NaN or 0 for large |x|, where the operators are right.
ONNX Runtime's Sigmoid is right to 6e-8 absolutely, not relatively, below -10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import scaled
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import affine_step, close, keeps_shape, scaled_sum
from onnxq.rules.workspace import Workspace

_DEPTH = 4


@dataclass(frozen=True)
class _Exponentials:
    """A tensor read as the sum of factor · e^(rate · source) over rates.

    Attributes:
        source: The tensor in the exponents; None for a constant.
        terms: Factors by rate; the rate 0 is the constant.
    """

    source: Tensor | None
    terms: Mapping[float, float]


@dataclass(frozen=True)
class _Quotient:
    """above / (factor · (e^(first · source) + e^(second · source)))."""

    above: _Exponentials
    source: Tensor
    first: float
    second: float
    factor: float


@dataclass(frozen=True)
class FuseLogistic(Rule):
    """Recognise Sigmoid and Tanh in quotients of exponentials."""

    operators: ClassVar[frozenset[str]] = frozenset(["Div", "Reciprocal"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the quotient by Sigmoid or Tanh, and a product if need be."""
        below = _read(work, node.inputs[-1])
        if below is None or below.source is None or len(below.terms) != 2:
            return None
        if node.op == "Div" and not keeps_shape(work, node.inputs[1], node.inputs[0]):
            return None
        (first, factor), (second, other) = below.terms.items()
        if not close(factor, other):
            line = " + ".join(f"{f:g}·exp({r:g}·x)" for r, f in below.terms.items())
            return Refused(node.name, f"the factors differ in {line}")
        dtype = work.dtype(below.source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        above = _Exponentials(None, {0.0: 1.0})
        if node.op == "Div":
            above = _read(work, node.inputs[0]) or _Exponentials(node.inputs[0], {})
        quotient = _Quotient(above, below.source, first, second, factor)
        for attempt in (_as_sigmoid, _as_tanh, _as_product):
            result = attempt(work, node, quotient)
            if result is not None:
                work.substitute(node.outputs[0], result)
                return Applied(node.name, f"became {attempt.__name__.removeprefix('_as_')}")
        return None


def _as_sigmoid(work: Workspace, node: Node, quotient: _Quotient) -> Tensor | None:
    """The numerator is one of the two exponentials."""
    above, rates = quotient.above, (quotient.first, quotient.second)
    if above.source not in (None, quotient.source) or len(above.terms) != 1:
        return None
    ((rate, factor),) = above.terms.items()
    if rate not in rates:
        return None
    slope = rate - (rates[1] if rate == rates[0] else rates[0])
    gate = _of_scaled(work, "Sigmoid", node, quotient.source, slope)
    return scaled(work, gate, factor / quotient.factor, node.name)


def _as_tanh(work: Workspace, node: Node, quotient: _Quotient) -> Tensor | None:
    """The numerator is the difference of the two exponentials."""
    above, rates = quotient.above, (quotient.first, quotient.second)
    if above.source is not quotient.source or set(above.terms) != set(rates):
        return None
    plus, minus = above.terms[rates[0]], above.terms[rates[1]]
    if not close(plus, -minus):
        return None
    # Tanh is odd: the sign goes within, where it may meet another.
    height, sign = abs(plus / quotient.factor), 1.0 if plus * quotient.factor > 0 else -1.0
    slope = sign * (rates[0] - rates[1]) / 2
    turned = _of_scaled(work, "Tanh", node, quotient.source, slope)
    return scaled(work, turned, height, node.name)


def _as_product(work: Workspace, node: Node, quotient: _Quotient) -> Tensor | None:
    """The numerator is any tensor, and one exponential is 1."""
    if 0.0 not in (quotient.first, quotient.second) or node.op != "Div":
        return None
    slope = -(quotient.first or quotient.second)
    gate = _of_scaled(work, "Sigmoid", node, quotient.source, slope)
    name, shape = f"{node.name}_product", work.shape(node.outputs[0])
    result = work.add("Mul", [node.inputs[0], gate], name=name, shape=shape)
    return scaled(work, result, 1.0 / quotient.factor, node.name)


def _of_scaled(work: Workspace, op: str, node: Node, source: Tensor, slope: float) -> Tensor:
    name, shape = f"{node.name}_{op}", work.shape(source)
    return work.add(op, [scaled(work, source, slope, name)], name=name, shape=shape)


def _read(work: Workspace, tensor: Tensor) -> _Exponentials | None:
    """Read sums of constants and scaled exponentials of one tensor."""
    return _terms(work, tensor, 1.0, _DEPTH)


def _terms(work: Workspace, tensor: Tensor, factor: float, depth: int) -> _Exponentials | None:
    value = work.scalar(tensor)
    if value is not None:
        return _Exponentials(None, {0.0: factor * value})
    node = work.producer(tensor, "Exp", "Mul", "Div", "Add", "Sub", "Neg")
    if node is None or depth == 0:
        return None
    if node.op == "Exp":
        line = scaled_sum(work, node.inputs[0])
        height = factor * exp(min(line.addend, 80.0))
        known = isfinite(height) and line.addend < 80.0
        return _Exponentials(line.source, {line.factor: height}) if known else None
    step = affine_step(work, node)
    if step is not None:
        inner = _terms(work, step[0], factor * step[1], depth - 1)
        return _joined(inner, _Exponentials(None, {0.0: factor * step[2]}))
    if node.op not in ("Add", "Sub"):
        return None
    second = factor if node.op == "Add" else -factor
    return _joined(
        _terms(work, node.inputs[0], factor, depth - 1),
        _terms(work, node.inputs[1], second, depth - 1),
    )


def _joined(first: _Exponentials | None, second: _Exponentials | None) -> _Exponentials | None:
    """The sum of two readings; None if they are not of one tensor."""
    if first is None or second is None:
        return None
    sources = [r.source for r in (first, second) if r.source is not None]
    if len(sources) == 2 and sources[0] is not sources[1]:
        return None
    terms = dict(first.terms)
    for rate, factor in second.terms.items():
        terms[rate] = terms.get(rate, 0.0) + factor
    kept = {rate: factor for rate, factor in terms.items() if factor != 0.0}
    return _Exponentials(sources[0] if sources else None, kept)
