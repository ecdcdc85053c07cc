"""Gemm's alpha and beta go into its constants.

alpha·A·B + beta·C = A·(alpha·B) + (beta·C); engines run integer Gemm only with both at 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Model, Node, bound_constant, constant, read, set_input
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True)
class FoldGemmScalars:
    """Fold alpha and beta of Gemm into constant weights and biases."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Scale the constants and drop the attributes."""
        for node in model.nodes:
            if node.op != "Gemm" or not node.standard:
                continue
            for attribute, index in (("alpha", 1), ("beta", 2)):
                event = _fold(model, node, attribute, index)
                if event is not None:
                    yield event


def _fold(model: Model, node: Node, attribute: str, index: int) -> Event | None:
    factor = float(node.attrs.get(attribute, 1.0))
    if factor == 1.0:
        return None
    if len(node.inputs) <= index or not node.inputs[index].name:
        node.attrs.pop(attribute, None)
        return Applied(node.name, f"{attribute} without an operand was dropped")
    operand = bound_constant(node.inputs[index])
    if operand is None:
        return Refused(node.name, f"{attribute} = {factor:g}: '{node.inputs[index].name}' varies")
    value = read(operand)
    if value.dtype.kind != "f":
        return Refused(node.name, f"{attribute} = {factor:g}: the operand is {value.dtype.name}")
    scaled = constant(model.new_name(f"{operand.name}_scaled"), value * value.dtype.type(factor))
    set_input(node, index, scaled)
    del node.attrs[attribute]
    return Applied(node.name, f"folded {attribute} = {factor:g} into '{operand.name}'")
