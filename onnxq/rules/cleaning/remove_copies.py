"""Operators that hand on one of their inputs as it is are removed.

1. Identity; Dropout outside training (ONNX Dropout-12: training_mode false or absent).
2. Cast and CastLike to the type the input has.
3. Concat, Sum, Mean, Max and Min of a single input; Split into a single part.
4. Where with a condition that is the same everywhere, if the chosen input has the result's shape.

Whatever the model returns under a name of its own stays where the input is returned, or is an
input of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Event, Refused
from onnxq.rules.cleaning.bypass import bypass, only_first_is_read, same_shape
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

Handed = Tensor | str | None
"""The input that a node hands on, why it might not, or None where it does something."""


@dataclass(frozen=True)
class RemoveCopies(Rule):
    """Remove Identity, Dropout, idle Cast, and joins and splits of one."""

    operators: ClassVar[frozenset[str]] = frozenset(
        [
            "Cast",
            "CastLike",
            "Concat",
            "Dropout",
            "Identity",
            "Max",
            "Mean",
            "Min",
            "Split",
            "Sum",
            "Where",
        ]
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read what the node hands on."""
        handed = _HANDED.get(node.op, _single)(work, node)
        if handed is None:
            return None
        if isinstance(handed, str):
            return Refused(node.name, handed)
        return bypass(work, node, handed, f"{node.op} was removed")


def _identity(_: Workspace, node: Node) -> Handed:
    return node.inputs[0]


def _dropout(work: Workspace, node: Node) -> Handed:
    if work.opset < 7:
        return "may be in training mode (opset below 7)"
    if not only_first_is_read(work, node):
        return "its mask is used"
    training = work.input(node, 2)
    if training is not None and work.content(training) != (0,):
        return "may be in training mode"
    return node.inputs[0]


def _cast(work: Workspace, node: Node) -> Handed:
    source = node.inputs[0]
    dtype = work.dtype(source)
    return source if dtype is not None and dtype == work.dtype(node.outputs[0]) else None


def _single(_: Workspace, node: Node) -> Handed:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _split(_: Workspace, node: Node) -> Handed:
    return node.inputs[0] if len(node.outputs) == 1 else None


def _where(work: Workspace, node: Node) -> Handed:
    condition = work.content(node.inputs[0])
    if condition is None:
        value = work.value(node.inputs[0])
        if value is None or not value.size or value.min() != value.max():
            return None
        condition = (int(value.reshape(-1)[0]),)
    if len(set(condition)) != 1 or not isinstance(condition[0], int):
        return None
    chosen = node.inputs[1 if condition[0] else 2]
    if not same_shape(work, chosen, node.outputs[0]):
        return f"its condition is always {bool(condition[0])}, but it broadcasts the input chosen"
    return chosen


_HANDED: Mapping[str, Callable[[Workspace, Node], Handed]] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
    "CastLike": _cast,
    "Split": _split,
    "Where": _where,
}
