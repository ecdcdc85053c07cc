"""An Expand before operators that broadcast by themselves is not needed.

    Add(Expand(x, s), y) = Add(x, y)    if y has the expanded dimensions already

1. All readers are elementwise operators of several operands that broadcast (Add, Mul, Where,
   Equal and so on).
2. In each, one other operand certainly has the expanded length along every axis that the
   Expand stretches (equal terms are equal numbers).

Definitions: ONNX Expand, and broadcasting in ONNX, which aligns shapes at their last axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Event, Refused
from onnxq.passes.dimensions import Dimensions
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_BROADCASTING = frozenset(
    [
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    ]
)


@dataclass(frozen=True)
class DropExpands(Rule):
    """Remove Expand where its readers broadcast anyway."""

    operators: ClassVar[frozenset[str]] = frozenset(["Expand"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let the readers read the Expand's input."""
        output, source = node.outputs[0], node.inputs[0]
        readers = work.readers(output)
        if not readers or any(r.op not in _BROADCASTING for r in readers):
            return None
        before, after = work.shape(source), work.shape(output)
        if before is None or after is None:
            return Refused(node.name, "the shape that it expands is not known")
        for reader in readers:
            others = [work.shape(t) for t in reader.inputs if t is not output]
            if not _stretch_alike(before, after, [s for s in others if s is not None]):
                return Refused(node.name, f"{reader.name} ({reader.op}) may not broadcast as far")
        return bypass(work, node, source, "was left to its readers, which broadcast")


def _stretch_alike(before: Dimensions, after: Dimensions, others: list[Dimensions]) -> bool:
    """Whether other operands bring every dimension that is stretched."""
    for back in range(1, len(after) + 1):
        length = after[-back]
        same = back <= len(before) and before[-back] is not None and before[-back] == length
        if same or (length == 1 and back <= len(before)):
            continue
        # A length of 1 counts too: it is what keeps the number of axes.
        brought = any(len(o) >= back and o[-back] == length for o in others)
        if length is None or not brought:
            return False
    return True
