"""HardSwish and HardSigmoid spelled with what engines compute in integers.

    HardSigmoid(x) = max(0, min(1, a·x + b)) = a · clip(x + b/a, 0, 1/a)      (a > 0)
    HardSwish(x)   = x · HardSigmoid(x; 1/6, 1/2) = x · (clip(x + 3, 0, 6) · 1/6)

Q and DQ make the clip free, because codes saturate, and the factor too, because it goes into
the scale of the DQ: what is left is an integer Add, and for HardSwish an integer Mul. In float
the operators themselves are faster, so only what then runs in integers should be spelled.

The node keeps its name where it can; those before it are named after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Model, Node, Tensor, Variable, constant, set_input
from onnxq.passes.events import Applied, Event

FIRST_OPSET = 11
"""Clip takes its bounds as inputs from here on."""


@dataclass(frozen=True)
class SpellActivations:
    """Spell out activations.

    Attributes:
        operators: Which of HardSwish and HardSigmoid.
        keep: Names of nodes to leave alone.
    """

    operators: frozenset[str] = frozenset(["HardSwish", "HardSigmoid"])
    keep: frozenset[str] = frozenset()
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Spell each such node of the main graph."""
        for node in list(model.nodes):
            if node.op not in self.operators or not node.standard or node.name in self.keep:
                continue
            slope = float(node.attrs.get("alpha", 0.2)) if node.op == "HardSigmoid" else 1 / 6
            middle = float(node.attrs.get("beta", 0.5)) if node.op == "HardSigmoid" else 0.5
            if slope <= 0.0 or model.opset < FIRST_OPSET or node.inputs[0].dtype == np.float64:
                continue
            operator = node.op
            _spell(model, node, slope, middle)
            yield Applied(node.name, f"{operator} was spelled for integers")


def shift_name(name: str) -> str:
    """The name of the Add in the spelling of a node: if it stays float, all of it does."""
    return f"{name}_shift"


def _spell(model: Model, node: Node, slope: float, middle: float) -> None:
    source = node.inputs[0]

    def number(what: str, value: float) -> Tensor:
        return constant(model.new_name(f"{node.name}_{what}"), np.float32(value))

    def add(op: str, name: str, inputs: list[Tensor]) -> Tensor:
        output = Variable(model.new_name(f"{name}_output"))
        model.graph.nodes.append(Node(op, model.new_name(name), inputs, [output]))
        return output

    shifted = add("Add", shift_name(node.name), [source, number("offset", middle / slope)])
    bounds = [number("low", 0.0), number("high", 1.0 / slope)]
    clipped = add("Clip", f"{node.name}_clip", [shifted, *bounds])
    gate = [clipped, number("slope", slope)]
    inputs = gate
    if node.op == "HardSwish":
        inputs = [source, add("Mul", f"{node.name}_gate", gate)]
    node.op, node.attrs, node.source = "Mul", {}, None
    for index, tensor in enumerate(inputs):
        set_input(node, index, tensor)
