"""A Concat that puts the parts of a tensor together again is that tensor.

1. All results of one Split, in order, along the axis they were split.
2. Slices of one tensor in steps of 1 along the axis, each beginning where the one before ends,
   from the first element to the last.

Definitions: ONNX Split, Slice, Concat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Event
from onnxq.passes.dimensions import ENDLESS
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.cleaning.merge_concats import joined_axis
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class RestoreParts(Rule):
    """Remove a Concat of all the parts of one tensor."""

    operators: ClassVar[frozenset[str]] = frozenset(["Concat"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read the tensor that was taken apart."""
        axis = joined_axis(work, node)
        if axis is None or len(node.inputs) < 2:
            return None
        source = _split(work, node, axis) or _sliced(work, node, axis)
        if source is None:
            return None
        return bypass(work, node, source, f"put the parts of '{source.name}' together again")


def _split(work: Workspace, node: Node, axis: int) -> Tensor | None:
    """The tensor whose Split the Concat undoes."""
    split = work.producer(node.inputs[0], "Split")
    if split is None or [id(t) for t in split.outputs] != [id(t) for t in node.inputs]:
        return None
    along = int(split.attrs.get("axis", 0))
    if along < 0:
        along += work.rank(split.inputs[0]) or 0
    return split.inputs[0] if along == axis else None


def _sliced(work: Workspace, node: Node, axis: int) -> Tensor | None:
    """The tensor whose Slices the Concat joins."""
    slices = [work.producer(t, "Slice") for t in node.inputs]
    first = slices[0]
    if first is None:
        return None
    source, reached = first.inputs[0], 0
    for part in slices:
        if part is None or part.inputs[0] is not source:
            return None
        bounds = constant_bounds(work, part)
        if bounds is None or list(bounds) != [axis]:
            return None
        start, end, step = bounds[axis]
        if step != 1 or start != reached or end <= start:
            return None
        reached = end
    shape = work.shape(source)
    length = shape[axis] if shape is not None and axis < len(shape) else None
    return source if reached >= ENDLESS or reached == length else None
