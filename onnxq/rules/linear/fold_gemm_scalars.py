"""Gemm's alpha and beta go into its constants.

    alpha·A·B + beta·C = A·(alpha·B) + (beta·C)

1. Each goes into its operand if that is a constant; alpha into A if B is none.
2. One without an operand means nothing and goes.

Every application removes an attribute. Engines run integer Gemm only with both at 1, and other
rules read a Gemm as x·W + b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_PLACES = (("alpha", (1, 0)), ("beta", (2,)))


@dataclass(frozen=True)
class FoldGemmScalars(Rule):
    """Fold alpha and beta of Gemm into constant operands."""

    operators: ClassVar[frozenset[str]] = frozenset(["Gemm"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Scale the constants and drop the attributes, one after the other."""
        missed: Event | None = None
        for attribute, places in _PLACES:
            event = _fold(work, node, attribute, places)
            if isinstance(event, Applied):
                return event
            missed = missed or event
        return missed


def _fold(work: Workspace, node: Node, attribute: str, places: tuple[int, ...]) -> Event | None:
    factor = float(node.attrs.get(attribute, 1.0))
    if factor == 1.0:
        return None
    if work.input(node, places[0]) is None:
        work.change(node, **{attribute: None})
        return Applied(node.name, f"{attribute} without an operand was dropped")
    for place in places:
        operand = node.inputs[place]
        value = work.value(operand)
        if value is None:
            continue
        if value.dtype.kind != "f":
            return Refused(node.name, f"{attribute} = {factor:g}: the operand is {value.dtype}")
        scaled = work.constant(f"{operand.name}_scaled", value * value.dtype.type(factor))
        work.rewire(node, place, scaled)
        work.change(node, **{attribute: None})
        return Applied(node.name, f"folded {attribute} = {factor:g} into '{operand.name}'")
    return Refused(node.name, f"{attribute} = {factor:g}: '{node.inputs[places[0]].name}' varies")
