"""An axis of one element that is cut out and dropped, or picked and put back, is one Gather.

    Squeeze(Slice(x, i, i + 1), axis) = Gather(x, i, axis)
    Squeeze(Gather(x, [i], axis), axis) = Gather(x, i, axis)
    Unsqueeze(Gather(x, i, axis), axis) = Gather(x, [i], axis)

1. The Slice takes one element of one axis, in a step of 1; the Squeeze drops that axis alone.
2. The index of the Gather is one constant; the Squeeze or Unsqueeze concerns its axis alone.
3. Nobody else reads what is between.

Definitions: ONNX Gather (which counts negative indices from the end), Slice, Squeeze, Unsqueeze.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event
from onnxq.passes.dimensions import ENDLESS, integers, operand
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class IndexDirectly(Rule):
    """Pick single elements of an axis by Gather alone."""

    operators: ClassVar[frozenset[str]] = frozenset(["Squeeze", "Unsqueeze"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge the node with the Slice or Gather before it."""
        between = node.inputs[0]
        first = work.producer(between, "Slice", "Gather")
        if first is None or work.only_reader(between) is None:
            return None
        # A Squeeze drops the axis, an Unsqueeze puts it back.
        rank_of_index = 1 if node.op == "Squeeze" else 0
        picked = _gathered(work, first, rank_of_index)
        if first.op == "Slice":
            picked = _sliced(work, first) if node.op == "Squeeze" else None
        axes = operand(work, node, 1, "axes")
        rank = work.rank(first.inputs[0])
        if picked is None or axes is None or len(axes) != 1 or rank is None:
            return None
        index, axis = picked
        if axes[0] % rank != axis:
            return None
        value = np.asarray(index if node.op == "Squeeze" else [index], np.int64)
        work.change(node, "Gather", axes=None, axis=axis)
        work.rewire(node, 0, first.inputs[0])
        work.rewire(node, 1, work.constant(f"{node.name}_index", value))
        return Applied(
            node.name, f"merged with {first.name} to pick element {index} of axis {axis}"
        )


def _sliced(work: Workspace, node: Node) -> tuple[int, int] | None:
    """(index, axis) of a Slice that takes one element.

    Where there is no such element the Slice is empty, and the Squeeze after it an error.
    """
    bounds = constant_bounds(work, node)
    if bounds is None or len(bounds) != 1:
        return None
    ((axis, (start, end, step)),) = bounds.items()
    single = end == start + 1 != 0 or (start == -1 and end >= ENDLESS)
    return (start, axis) if step == 1 and single and (start >= 0 or work.opset > 10) else None


def _gathered(work: Workspace, node: Node, wanted: int) -> tuple[int, int] | None:
    """(index, axis) of a Gather of one element, whose index has so many axes."""
    index, rank = integers(work, node.inputs[1]), work.rank(node.inputs[0])
    if index is None or len(index) != 1 or work.rank(node.inputs[1]) != wanted or not rank:
        return None
    return index[0], int(node.attrs.get("axis", 0)) % rank
