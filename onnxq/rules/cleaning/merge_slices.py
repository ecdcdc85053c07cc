"""A Slice of a Slice is one Slice.

1. Of other axes: both bounds stand beside each other.
2. Of the same axis, in steps of 1 from bounds that are not negative: the second counts from
   where the first begins, start = s1 + s2 and end = min(e1, s1 + e2).

All bounds are constant, and nobody else may read what is between. Definition: ONNX Slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import slice_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

Bounds = dict[int, tuple[int, int, int]]


@dataclass(frozen=True)
class MergeSlices(Rule):
    """Merge a Slice with the one before it."""

    operators: ClassVar[frozenset[str]] = frozenset(["Slice"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge with the producer."""
        first = work.producer(node.inputs[0], "Slice")
        if first is None or work.only_reader(node.inputs[0]) is None:
            return None
        inner, outer = constant_bounds(work, first), constant_bounds(work, node)
        if inner is None or outer is None:
            return None
        merged = dict(inner)
        for axis, bounds in outer.items():
            both = _composed(inner[axis], bounds) if axis in inner else bounds
            if both is None:
                return Refused(node.name, f"axis {axis} is sliced twice, not in steps of 1 from 0")
            merged[axis] = both
        work.rewire(node, 0, first.inputs[0])
        set_bounds(work, node, merged)
        return Applied(node.name, f"merged with {first.name}")


def _composed(
    inner: tuple[int, int, int], outer: tuple[int, int, int]
) -> tuple[int, int, int] | None:
    if inner[2] != 1 or outer[2] != 1 or min(*inner, *outer) < 0:
        return None
    return inner[0] + outer[0], min(inner[1], inner[0] + outer[1]), 1


def constant_bounds(work: Workspace, node: Node) -> Bounds | None:
    """(start, end, step) by axis, if they are all numbers."""
    bounds = slice_bounds(work, node, work.rank(node.inputs[0]))
    if bounds is None:
        return None
    found = {
        axis: (start, end, step)
        for axis, (start, end, step) in bounds.items()
        if isinstance(start, int) and isinstance(end, int)
    }
    return found if len(found) == len(bounds) else None


def set_bounds(work: Workspace, node: Node, bounds: Bounds) -> None:
    """Write other bounds into a Slice."""
    axes = sorted(bounds)
    starts, ends, steps = ([bounds[a][i] for a in axes] for i in range(3))
    if work.opset < 10:
        work.change(node, starts=starts, ends=ends, axes=axes)
        return
    lists = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    for index, (name, values) in enumerate(lists.items(), 1):
        value = np.asarray(values, np.int64)
        work.rewire(node, index, work.constant(f"{node.name}_{name}", value))
