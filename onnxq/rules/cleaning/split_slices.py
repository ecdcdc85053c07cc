"""Slices that share a tensor out among them are one Split.

    Slice(x, 0, a), Slice(x, a, b), Slice(x, b, end) = Split(x, [a, b - a, length - b])

1. Two Slices or more of one tensor, each along the same single axis, in steps of 1.
2. Each begins where another ends, the first at 0, the last ends with the axis, whose length is
   known.

One node instead of several, and one that engines run on quantized tensors.
Definitions: ONNX Slice; Split (attribute split before 13, input since).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor, Variable
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_MOST_READERS = 64


@dataclass(frozen=True)
class SplitSlices(Rule):
    """Turn Slices that take a tensor apart into one Split."""

    operators: ClassVar[frozenset[str]] = frozenset(["Slice"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a Slice and its siblings."""
        source = node.inputs[0]
        own, shape = _part(work, node), work.shape(source)
        if own is None or own.start != 0 or shape is None or len(source.outputs) > _MOST_READERS:
            return None
        parts = _shares(work, node, own, shape[own.axis])
        if parts is None:
            return None
        for part in parts:
            if work.is_held(part.node.outputs[0]):
                return Refused(node.name, f"the result of {part.node.name} is returned by name")
        sizes = [part.end - part.start for part in parts]
        for part, output in zip(parts, _split(work, node, own.axis, sizes), strict=True):
            work.substitute(part.node.outputs[0], output)
        names = ", ".join(part.node.name for part in parts[1:])
        return Applied(node.name, f"became a Split into {sizes}, together with {names}")


@dataclass(frozen=True)
class _Part:
    """What a Slice takes of one axis."""

    node: Node
    axis: int
    start: int
    end: int


def _part(work: Workspace, node: Node) -> _Part | None:
    bounds = constant_bounds(work, node)
    if bounds is None or len(bounds) != 1:
        return None
    ((axis, (start, end, step)),) = bounds.items()
    shape = work.shape(node.inputs[0])
    length = None if shape is None else shape[axis]
    if step != 1 or not isinstance(length, int):
        return None
    start, end, _ = slice(start, end).indices(length)
    return _Part(node, axis, start, end)


def _shares(
    work: Workspace, node: Node, own: _Part, length: int | str | None
) -> list[_Part] | None:
    """The Slices that begin with `own` and together take all of the axis; None if they do not."""
    beginning: dict[int, _Part] = {}
    for reader in node.inputs[0].outputs:
        reads = reader.op == "Slice" and reader.standard and work.is_alive(reader)
        # A Slice may read the tensor as its bounds, too.
        part = _part(work, reader) if reads and reader.inputs[0] is node.inputs[0] else None
        if part is not None and part.axis == own.axis and part.start < part.end:
            beginning.setdefault(part.start, part)
    parts = [own]
    while parts[-1].end != length:
        following = beginning.get(parts[-1].end)
        if following is None:
            return None
        parts.append(following)
    return parts if len(parts) > 1 else None


def _split(work: Workspace, node: Node, axis: int, sizes: list[int]) -> list[Variable]:
    """The results of a new Split."""
    source = node.inputs[0]
    shape = work.shape(source) or ()
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    attrs: dict[str, object] = {"axis": axis}
    inputs: list[Tensor | None] = [source]
    if work.opset < 13:
        attrs["split"] = sizes
    else:
        inputs.append(work.constant(f"{node.name}_sizes", np.asarray(sizes, np.int64)))
    first = work.add("Split", inputs, name=f"{node.name}_Split", attrs=attrs, shape=shapes[0])
    return work.add_results(first, shapes[1:])
