"""Squares of roots and roots of squares.

1. Sqrt(x) · Sqrt(x) = x where x is never negative, by the operator that computes it.
2. Sqrt(x · x) = |x|.

Caveat: squares that overflow gave infinity; the absolute value stays finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.ranges import range_of
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class CancelRoots(Rule):
    """Remove roots that are squared, and squares that are rooted."""

    operators: ClassVar[frozenset[str]] = frozenset(["Mul", "Sqrt"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a squared root by x, or a rooted square by Abs(x)."""
        if node.op == "Sqrt":
            return _rooted(work, node)
        root = work.producer(node.inputs[0], "Sqrt")
        if root is None or node.inputs[0] is not node.inputs[1]:
            return None
        source = root.inputs[0]
        if range_of(work, source)[0] < 0.0:
            return Refused(node.name, "the number under the root may be negative")
        obstacle = work.obstacle(node.outputs[0], source)
        if obstacle:
            return Refused(node.name, obstacle)
        work.substitute(node.outputs[0], source)
        return Applied(node.name, f"removed: it squared the root {root.name}")


def _rooted(work: Workspace, node: Node) -> Event | None:
    square = work.producer(node.inputs[0], "Mul")
    if square is None or square.inputs[0] is not square.inputs[1]:
        return None
    source, output = square.inputs[0], node.outputs[0]
    result = work.add("Abs", [source], name=f"{node.name}_Abs", shape=work.shape(output))
    work.substitute(output, result)
    return Applied(node.name, f"became Abs: {square.name} squared before")
