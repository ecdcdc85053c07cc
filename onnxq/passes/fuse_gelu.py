"""GELU spelled with Erf becomes the Gelu operator (ONNX operator set 20).

Gelu(x) = x · 0.5 · (1 + erf(x / sqrt 2)), whatever the order of its factors (Hendrycks and
Gimpel 1606.08415). The engine recognises the spelled form too, but no longer once a
DequantizeLinear stands before it; the operator survives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    only_reader,
    read,
    remove_dead_nodes,
    take_output,
)
from onnxq.passes.events import Applied, Event, Refused

FIRST_OPSET = 20


@dataclass(frozen=True)
class FuseGelu:
    """Recognise GELU by its Erf. Below operator set 20 it only reports what it would do."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Replace each spelled GELU of the main graph."""
        for erf in [n for n in model.nodes if n.op == "Erf" and n.standard]:
            found = match_gelu(model, erf)
            if isinstance(found, str):
                yield Refused(erf.name, found)
            elif model.opset < FIRST_OPSET:
                yield Refused(
                    erf.name, f"Gelu needs operator set {FIRST_OPSET}, here {model.opset}"
                )
            else:
                source, last = found
                name = model.new_name(f"{last.name}_Gelu")
                gelu = Node("Gelu", name, [source], [])
                model.graph.nodes.append(gelu)
                take_output(last.outputs[0], gelu)
                yield Applied(name, f"took the place of {erf.name} and the nodes around it")
        remove_dead_nodes(model)


def match_gelu(model: Model, erf: Node) -> tuple[Tensor, Node] | str:
    """(x, the last node) of the GELU around an Erf, or why it is none."""
    scaled = erf.inputs[0].inputs[0] if erf.inputs[0].inputs else None
    source = _scaled_source(scaled)
    if source is None:
        return "its input is not x divided by the square root of 2"
    one_added = only_reader(model, erf.outputs[0])
    if one_added is None or one_added.op != "Add" or _scalar_operand(one_added) != 1.0:
        return "no 1 is added to its result"
    return _product(model, one_added.outputs[0], source)


def _scaled_source(node: Node | None) -> Tensor | None:
    if node is None or node.op not in ("Div", "Mul"):
        return None
    constant_value = _scalar_operand(node)
    wanted = sqrt(2) if node.op == "Div" else sqrt(0.5)
    if constant_value is None or abs(constant_value - wanted) > 1e-4:
        return None
    return node.inputs[1] if isinstance(node.inputs[0], Constant) else node.inputs[0]


def _product(model: Model, factor: Tensor, source: Tensor) -> tuple[Tensor, Node] | str:
    """Follow products until both x and 0.5 were multiplied in, in either order."""
    missing = {"x", "half"}
    # (x·0.5)·(1+erf): the half may have been multiplied onto x beforehand.
    halves = {
        id(n.outputs[0])
        for n in source.outputs
        if (n.op, _scalar_operand(n)) in (("Mul", 0.5), ("Div", 2.0))
    }
    node: Node | None = None
    while missing:
        node = only_reader(model, factor)
        if node is None or node.op not in ("Mul", "Div"):
            return "the product is not x · 0.5 · (1 + erf)"
        other = node.inputs[1] if node.inputs[0] is factor else node.inputs[0]
        if node.op == "Mul" and other is source and "x" in missing:
            missing.discard("x")
        elif node.op == "Mul" and id(other) in halves and missing == {"x", "half"}:
            missing.clear()
        elif (node.op, _scalar_operand(node)) in (("Mul", 0.5), ("Div", 2.0)):
            missing.discard("half")
        else:
            return "the product is not x · 0.5 · (1 + erf)"
        factor = node.outputs[0]
    assert node is not None
    return source, node


def _scalar_operand(node: Node) -> float | None:
    """The value of a node's one constant scalar operand; of a Div, only the divisor."""
    for tensor in node.inputs[1:] if node.op == "Div" else node.inputs:
        if isinstance(tensor, Constant) and tensor.size == 1 and not tensor.overridable:
            return float(read(tensor).reshape(-1)[0])
    return None
