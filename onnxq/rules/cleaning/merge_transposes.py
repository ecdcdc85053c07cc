"""Two Transposes are one: Transpose(Transpose(x, p), q) has the axes p[q[0]], p[q[1]] and so on.

1. Where that order is the original one, readers read x, whoever else reads what is between.
2. Else nobody else may read it: the work would only be done twice.

Definition: ONNX Transpose; without perm it reverses the axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.reasons import also_read, rank_unknown
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class MergeTransposes(Rule):
    """Merge a Transpose with the one before it, or cancel both."""

    operators: ClassVar[frozenset[str]] = frozenset(["Transpose"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge or cancel."""
        first = work.producer(node.inputs[0], "Transpose")
        if first is None:
            return None
        inner, outer = order_of(work, first), order_of(work, node)
        source = first.inputs[0]
        if inner is None or outer is None:
            return Refused(node.name, rank_unknown(source))
        order = [inner[axis] for axis in outer]
        if order == sorted(order):
            return bypass(work, node, source, f"cancelled against {first.name}")
        if work.only_reader(node.inputs[0]) is None:
            return Refused(node.name, also_read(node.inputs[0]))
        work.rewire(node, 0, source)
        work.change(node, perm=order)
        return Applied(node.name, f"merged with {first.name} to the order {order}")


def order_of(work: Workspace, node: Node) -> list[int] | None:
    """The order in which a Transpose takes its input's axes; None if their number is unknown."""
    if "perm" in node.attrs:
        return [int(axis) for axis in node.attrs["perm"]]
    rank = work.rank(node.inputs[0])
    return None if rank is None else list(range(rank))[::-1]
