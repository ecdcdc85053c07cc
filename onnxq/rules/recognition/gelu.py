"""GELU spelled with Erf.

Gelu(x) = x · (1 + erf(x / sqrt 2)) / 2 (ONNX Gelu; Hendrycks and Gimpel, 1606.08415), whatever the
order of its factors, and with the half multiplied onto any of them.

1. From operator set 20 on it becomes the operator Gelu: ONNX Runtime recognises the spelled form
   too, but no longer once a DequantizeLinear stands before it; the operator survives.
2. Before, it is spelled as ONNX Runtime recognises it, (x · (Erf(x / sqrt 2) + 1)) · 0.5, if it
   is not. The engine knows x / sqrt 2 as a Div only, and no other place of the half than behind
   the product or at x (1.31); what it does not know takes 1.5 times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import climb, multiple_of, until_one
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import affine_step, close, scalar_operand
from onnxq.rules.workspace import Workspace

FIRST_OPSET = 20

_TOLERANCE = 1e-4
"""Of the constants: exporters print them short."""


@dataclass(frozen=True)
class FuseGelu(Rule):
    """Recognise GELU by its Erf."""

    operators: ClassVar[frozenset[str]] = frozenset(["Erf"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the GELU around an Erf by the operator, or by the spelling the engine knows."""
        found = _match(work, node)
        if isinstance(found, str):
            return Refused(node.name, found)
        source, last = found
        output, name = last.outputs[0], f"{last.name}_Gelu"
        if work.opset >= FIRST_OPSET:
            result = work.add("Gelu", [source], name=name, shape=work.shape(source))
            made = result.inputs[0].name
            work.substitute(output, result)
            return Applied(made, f"took the place of {node.name} and the nodes around it")
        if _is_known(work, node, source):
            missing = f"Gelu needs operator set {FIRST_OPSET}, here {work.opset}"
            return Refused(node.name, missing, needs_opset=FIRST_OPSET)
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        _respell(work, source, output, name)
        return Applied(last.name, "spelled GELU as the engine knows it")


def _match(work: Workspace, node: Node) -> tuple[Tensor, Node] | str:
    """(x, the last node) of the GELU around an Erf, or why it is none."""
    source = _scaled_source(work, node.inputs[0])
    if source is None:
        return "its input is not x divided by the square root of 2"
    gate = climb(work, node.outputs[0])
    if gate.addend == 0.0 or not close(gate.factor, gate.addend):
        return "no 1 is added to its result"
    found = product_with(work, gate.source, source)
    last = None if found is None else until_one(work, found[0], 2.0 * gate.factor * found[1])
    return (source, last) if last is not None else "the product is not x · 0.5 · (1 + erf)"


def product_with(work: Workspace, gate: Tensor, source: Tensor) -> tuple[Node, float] | None:
    """(the Mul, c), where a gate is only read by a Mul with c · source."""
    product = work.only_reader(gate, "Mul")
    if product is None:
        return None
    other = product.inputs[1] if product.inputs[0] is gate else product.inputs[0]
    factor = multiple_of(work, other, source)
    return None if factor is None else (product, factor)


def _scaled_source(work: Workspace, tensor: Tensor) -> Tensor | None:
    node = work.producer(tensor, "Mul", "Div")
    step = None if node is None else affine_step(work, node)
    return step[0] if step is not None and close(step[1], sqrt(0.5), _TOLERANCE) else None


def _is_known(work: Workspace, node: Node, source: Tensor) -> bool:
    """Whether the engine recognises the spelling."""
    added = work.only_reader(node.outputs[0], "Add")
    product = None if added is None else work.only_reader(added.outputs[0], "Mul")
    if product is None or work.producer(node.inputs[0], "Div") is None:
        return False
    if any(t is source for t in product.inputs):
        return _is_half(work, work.only_reader(product.outputs[0], "Mul"))
    return any(_is_half(work, work.producer(t, "Mul")) for t in product.inputs)


def _is_half(work: Workspace, node: Node | None) -> bool:
    found = None if node is None else scalar_operand(work, node)
    return found is not None and found[1] == 0.5


def _respell(work: Workspace, source: Tensor, output: Tensor, name: str) -> None:
    def step(op: str, tensor: Tensor, operand: Tensor | float) -> Tensor:
        if isinstance(operand, float):
            operand = work.constant(f"{name}_constant", np.float32(operand))
        return work.add(op, [tensor, operand], name=name, shape=work.shape(source))

    root = step("Div", source, sqrt(2.0))
    erf = work.add("Erf", [root], name=name, shape=work.shape(source))
    product = step("Mul", source, step("Add", erf, 1.0))
    work.substitute(output, step("Mul", product, 0.5))
