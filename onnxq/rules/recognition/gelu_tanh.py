"""GELU approximated by Tanh.

Gelu(x) = x/2 · (1 + tanh u),    u = sqrt(2/pi) · (x + 0.044715·x³)    (ONNX Gelu, approximate)

The cubic u is read as a polynomial of x, so that x³ may be a Pow or products, and x or any
constant a common factor. Since (1 + tanh u)/2 = Sigmoid(2·u), x · Sigmoid(2·u) is the same.

1. From operator set 20 on it becomes the operator Gelu.
2. Before, it becomes x · Sigmoid(x · (a·x² + b)), six nodes in place of eight or nine: ONNX
   Runtime recognises no spelling of it on a CPU (1.31).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, sqrt
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.gelu import FIRST_OPSET
from onnxq.rules.recognition.polynomial import polynomial
from onnxq.rules.recognition.scaling import climb, until_one
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import close, scaled_sum
from onnxq.rules.workspace import Workspace

_LINEAR, _CUBIC = sqrt(2 / pi), sqrt(2 / pi) * 0.044715
_TOLERANCE = 2e-5
"""Of the coefficients: exporters print them short."""


@dataclass(frozen=True)
class FuseTanhGelu(Rule):
    """Recognise the approximation of GELU by Tanh or Sigmoid of a cubic."""

    operators: ClassVar[frozenset[str]] = frozenset(["Tanh", "Sigmoid"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the GELU around a Tanh or Sigmoid by the operator, or by fewer nodes."""
        found = _match(work, node)
        if found is None:
            return None
        source, last = found
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        output, name = last.outputs[0], f"{last.name}_Gelu"
        if work.opset >= FIRST_OPSET:
            attrs, shape = {"approximate": "tanh"}, work.shape(source)
            work.substitute(output, work.add("Gelu", [source], name=name, attrs=attrs, shape=shape))
            return Applied(last.name, "became Gelu, approximated by tanh")
        if node.op == "Sigmoid":
            missing = f"Gelu needs operator set {FIRST_OPSET}, here {work.opset}"
            return Refused(node.name, missing, needs_opset=FIRST_OPSET)
        _respell(work, source, output, name)
        return Applied(last.name, "spelled GELU with Sigmoid")


def _match(work: Workspace, node: Node) -> tuple[Tensor, Node] | None:
    """(x, the last node) of the GELU around a Tanh or Sigmoid."""
    gate = climb(work, node.outputs[0])
    # Either is read as height · Sigmoid(share · input).
    share = 1.0 if node.op == "Sigmoid" else 2.0
    height = share * gate.factor
    if not close(gate.addend, 0.0 if node.op == "Sigmoid" else gate.factor):
        return None
    product = work.only_reader(gate.source, "Mul")
    if product is None:
        return None
    other = product.inputs[1] if product.inputs[0] is gate.source else product.inputs[0]
    for source, factor in _multiples(work, other):
        inner = polynomial(work, node.inputs[0], source)
        if inner is None or not _is_cubic({k: share * c for k, c in inner.items()}):
            continue
        last = until_one(work, product, height * factor)
        if last is not None:
            return source, last
    return None


def _multiples(work: Workspace, tensor: Tensor) -> Iterator[tuple[Tensor, float]]:
    """(x, c) for all readings of a tensor as c · x."""
    for depth in range(3):
        line = scaled_sum(work, tensor, depth)
        if len(line.nodes) == depth and line.addend == 0.0:
            yield line.source, line.factor


def _is_cubic(coefficients: dict[int, float]) -> bool:
    if set(coefficients) != {1, 3}:
        return False
    return all(
        close(coefficients[power] / (2 * wanted), 1.0, _TOLERANCE)
        for power, wanted in ((1, _LINEAR), (3, _CUBIC))
    )


def _respell(work: Workspace, source: Tensor, output: Tensor, name: str) -> None:
    def step(op: str, *inputs: Tensor | float) -> Tensor:
        known = [
            work.constant(f"{name}_constant", np.float32(t)) if isinstance(t, float) else t
            for t in inputs
        ]
        return work.add(op, known, name=name, shape=work.shape(source))

    square = step("Mul", source, source)
    slope = step("Add", step("Mul", square, 2 * _CUBIC), 2 * _LINEAR)
    gate = step("Sigmoid", step("Mul", source, slope))
    work.substitute(output, step("Mul", source, gate))
