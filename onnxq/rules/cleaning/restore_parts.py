"""A Concat that puts the parts of a tensor together again is that tensor.

1. All results of one Split, in order, along the axis they were split.
2. Slices of one tensor in steps of 1 along the axis, each beginning where the one before ends,
   from the first element to the last.

Near misses are parts in another order or along another axis, parts left out, and Slices whose
bounds are not known.

Definitions: ONNX Split, Slice, Concat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Event, Refused
from onnxq.passes.dimensions import ENDLESS
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.cleaning.merge_concats import joined_axis
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.reasons import rank_unknown
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

Whole = Tensor | str | None
"""What was taken apart, why it is not quite put together, or None where no parts are joined."""


@dataclass(frozen=True)
class RestoreParts(Rule):
    """Remove a Concat of all the parts of one tensor."""

    operators: ClassVar[frozenset[str]] = frozenset(["Concat"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read the tensor that was taken apart."""
        if len(node.inputs) < 2:
            return None
        axis = joined_axis(work, node)
        source = _split(work, node, axis) or _sliced(work, node, axis)
        if isinstance(source, str):
            return Refused(node.name, source)
        if source is None:
            return None
        return bypass(work, node, source, f"put the parts of '{source.name}' together again")


def _split(work: Workspace, node: Node, axis: int | None) -> Whole:
    """The tensor whose Split the Concat undoes."""
    split = work.producer(node.inputs[0], "Split")
    if split is None or any(work.producer(t, "Split") is not split for t in node.inputs):
        return None
    source, places = split.inputs[0], {id(t): i for i, t in enumerate(split.outputs)}
    order = [places[id(t)] for t in node.inputs]
    if order != list(range(len(places))):
        return f"joins the parts {order} of {len(places)}"
    along = int(split.attrs.get("axis", 0))
    if along < 0:
        along += work.rank(source) or 0
    if axis is None or along < 0:
        return rank_unknown(source)
    if along != axis:
        return f"the parts lie along axis {along}, and are joined along {axis}"
    return source


def _sliced(work: Workspace, node: Node, axis: int | None) -> Whole:
    """The tensor whose Slices the Concat joins."""
    found = [work.producer(t, "Slice") for t in node.inputs]
    slices = [part for part in found if part is not None]
    if axis is None or len(slices) < len(found):
        return None
    source, parts = slices[0].inputs[0], list[tuple[int, int, int]]()
    if any(part.inputs[0] is not source for part in slices):
        return None
    for part in slices:
        bounds = constant_bounds(work, part)
        if bounds is None:
            return f"the bounds of '{part.name}' are not known"
        if list(bounds) != [axis] or bounds[axis][2] != 1:
            return None
        parts.append(bounds[axis])
    shape = work.shape(source)
    length = shape[axis] if shape is not None and axis < len(shape) else None
    return _gap(parts, length) or source


def _gap(parts: list[tuple[int, int, int]], length: int | str | None) -> str:
    """Where the parts of an axis do not follow each other; empty if they take all of it."""
    reached = 0
    for start, end, _ in parts:
        if start != reached:
            return f"a part begins at {start}, not at {reached}"
        if end <= start:
            return f"a part from {start} ends at {end}"
        reached = end
    if reached >= ENDLESS or reached == length:
        return ""
    whole = "an unknown length" if length is None else length
    return f"the parts end at {reached} of {whole}"
