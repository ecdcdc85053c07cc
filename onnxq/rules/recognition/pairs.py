"""Operators that undo or repeat the one before them.

1. Not, Neg or Reciprocal of the same: x. Abs(-x) = Abs(x).
2. Abs, Ceil, Floor, Round and Sign of the same: once.
3. Max, Min, And and Or of a tensor with itself: that tensor.
4. a + (-b) = a - b, and a - (-b) = a + b.
5. Sum of two inputs: Add, which ONNX Runtime runs faster and quantizers know.

Definitions: ONNX operators. Exp and Log do not cancel exactly, and stay. Caveat of 1: the
reciprocal of a number beyond the range of floats comes back as 0 or infinity; it now stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_INVOLUTIONS = frozenset(["Not", "Neg", "Reciprocal"])
_IDEMPOTENT = frozenset(["Abs", "Ceil", "Floor", "Round", "Sign"])
_SELECTIONS = frozenset(["Max", "Min", "And", "Or"])
_OPPOSITE = {"Add": "Sub", "Sub": "Add"}


@dataclass(frozen=True)
class CancelPairs(Rule):
    """Cancel operators that undo or repeat one another."""

    operators: ClassVar[frozenset[str]] = (
        _INVOLUTIONS | _IDEMPOTENT | _SELECTIONS | frozenset(["Add", "Sub", "Sum"])
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Remove or replace the node if what stands before it allows that."""
        if node.op in ("Add", "Sub"):
            return _take_in_sign(work, node)
        if node.op == "Sum":
            if len(node.inputs) != 2:
                return None
            work.change(node, "Add")
            return Applied(node.name, "became Add")
        if node.op in _SELECTIONS:
            same = len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]
            return _pass_on(work, node, node.inputs[0], "its inputs are one") if same else None
        return _of_the_same(work, node)


def _of_the_same(work: Workspace, node: Node) -> Event | None:
    before = work.producer(node.inputs[0], node.op, "Neg")
    if before is None:
        return None
    if before.op == node.op:
        source = before.inputs[0] if node.op in _INVOLUTIONS else before.outputs[0]
        done = "undid" if node.op in _INVOLUTIONS else "repeated"
        return _pass_on(work, node, source, f"it {done} {before.name}")
    if node.op != "Abs":
        return None
    work.rewire(node, 0, before.inputs[0])
    return Applied(node.name, f"left out the sign that {before.name} turned")


def _pass_on(work: Workspace, node: Node, source: Tensor, why: str) -> Event:
    obstacle = work.obstacle(node.outputs[0], source)
    if obstacle:
        return Refused(node.name, obstacle)
    work.substitute(node.outputs[0], source)
    return Applied(node.name, f"removed: {why}")


def _take_in_sign(work: Workspace, node: Node) -> Event | None:
    """Only where the Neg goes: one more reader of its input would keep others from fusing."""
    for index in (1, 0):
        negated = work.producer(node.inputs[index], "Neg")
        if negated is None or work.only_reader(negated.outputs[0]) is not node:
            continue
        if index == 0:
            if node.op == "Sub":
                return None
            work.rewire(node, 0, node.inputs[1])
        work.rewire(node, 1, negated.inputs[0])
        work.change(node, _OPPOSITE[node.op])
        return Applied(node.name, f"became {node.op} and took in {negated.name}")
    return None
