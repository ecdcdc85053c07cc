"""Transposes are taken in by readers that can name the axes themselves.

1. Gemm of a matrix transposed: transA or transB is turned.
2. A reduction that drops the axes it reduces, and leaves the others in their order: it reduces
   the axes of the original, reduce(Transpose(x, p), axes) = reduce(x, [p[a] for a in axes]).

Reductions that keep their axes, or leave the others in another order, are near misses.

Definitions: ONNX Gemm; Reduce operators with keepdims 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import operand
from onnxq.rules.cleaning.merge_transposes import order_of
from onnxq.rules.reasons import rank_unknown
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class AbsorbTransposes(Rule):
    """Let Gemm and reductions read what a Transpose before them reads."""

    operators: ClassVar[frozenset[str]] = frozenset(
        [
            "Gemm",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ]
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Read the original."""
        near: Refused | None = None
        for index, turn in enumerate(("transA", "transB") if node.op == "Gemm" else ("",)):
            before = work.producer(node.inputs[index], "Transpose")
            if before is None:
                continue
            order = order_of(work, before)
            if order is None:
                near = Refused(node.name, rank_unknown(before.inputs[0]))
            if order is None or order == sorted(order):
                continue
            reason = "" if turn else _reduce(work, node, order)
            if reason:
                return Refused(node.name, reason)
            if turn:
                work.change(node, None, **{turn: 1 - int(node.attrs.get(turn, 0))})
            work.rewire(node, index, before.inputs[0])
            return Applied(node.name, f"took in {before.name}")
        return near


def _reduce(work: Workspace, node: Node, order: list[int]) -> str:
    """Tell a reduction the axes of the original; why that cannot be, or empty if it was done."""
    given = operand(work, node, 1, "axes")
    if given is None:
        return "its axes are computed at run time"
    if node.attrs.get("keepdims", 1):
        return "keeps the axes that it reduces"
    if not given:
        idle = node.attrs.get("noop_with_empty_axes", 0)
        return "reduces no axes" if idle else ""
    reduced = {a % len(order) for a in given}
    kept = [axis for index, axis in enumerate(order) if index not in reduced]
    if kept != sorted(kept):
        return f"leaves the axes in the order {kept}"
    axes = sorted(order[a] for a in reduced)
    if "axes" in node.attrs:
        work.change(node, axes=axes)
    else:
        work.rewire(node, 1, work.constant(f"{node.name}_axes", np.asarray(axes, np.int64)))
    return ""
