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
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import ENDLESS, integers, operand
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.reasons import also_read, rank_unknown, varies
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_COUNTS_FROM_THE_END = 11
"""From this operator set on Gather takes negative indices."""

Picked = tuple[int, int] | str | None
"""(index, axis) of one element, why it cannot be told, or None where more are taken."""


@dataclass(frozen=True)
class IndexDirectly(Rule):
    """Pick single elements of an axis by Gather alone."""

    operators: ClassVar[frozenset[str]] = frozenset(["Squeeze", "Unsqueeze"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge the node with the Slice or Gather before it."""
        first = work.producer(node.inputs[0], "Slice", "Gather")
        if first is None:
            return None
        # A Squeeze drops the axis, an Unsqueeze puts it back.
        rank_of_index = 1 if node.op == "Squeeze" else 0
        picked = _gathered(work, first, rank_of_index)
        if first.op == "Slice":
            picked = _sliced(work, first) if node.op == "Squeeze" else None
        if picked is None:
            return None
        reason = picked if isinstance(picked, str) else _obstacle(work, node, first, picked[1])
        if isinstance(picked, str) or reason:
            return Refused(node.name, reason)
        index, axis = picked
        if first.op == "Slice" and index < 0 and work.opset < _COUNTS_FROM_THE_END:
            reason = f"picks element {index}, and Gather counts from the end in operator set 11"
            return Refused(node.name, reason, needs_opset=_COUNTS_FROM_THE_END)
        value = np.asarray(index if node.op == "Squeeze" else [index], np.int64)
        work.change(node, "Gather", axes=None, axis=axis)
        work.rewire(node, 0, first.inputs[0])
        work.rewire(node, 1, work.constant(f"{node.name}_index", value))
        return Applied(
            node.name, f"merged with {first.name} to pick element {index} of axis {axis}"
        )


def _obstacle(work: Workspace, node: Node, first: Node, axis: int) -> str:
    """Why a node cannot join the one before it, which picks from `axis`; empty if it can."""
    axes, rank = operand(work, node, 1, "axes"), work.rank(first.inputs[0])
    if not rank:
        return rank_unknown(first.inputs[0])
    if axes is None:
        return "its axes are computed at run time"
    if [a % rank for a in axes] != [axis]:
        return f"names axes {list(axes)}, where '{first.name}' picks from axis {axis}"
    between = node.inputs[0]
    return also_read(between) if work.only_reader(between) is None else ""


def _sliced(work: Workspace, node: Node) -> Picked:
    """What a Slice takes.

    Where there is no such element the Slice is empty, and the Squeeze after it an error.
    """
    bounds = constant_bounds(work, node)
    if bounds is None:
        return f"the bounds of '{node.name}' are not known"
    if len(bounds) != 1:
        return f"'{node.name}' slices axes {sorted(bounds)}"
    ((axis, (start, end, step)),) = bounds.items()
    single = end == start + 1 != 0 or (start == -1 and end >= ENDLESS)
    return (start, axis) if step == 1 and single else None


def _gathered(work: Workspace, node: Node, wanted: int) -> Picked:
    """What a Gather picks by an index of so many axes."""
    source, given = node.inputs[:2]
    index, rank = integers(work, given), work.rank(source)
    if work.rank(given) != wanted or (index is not None and len(index) != 1):
        return None
    if index is None:
        return varies(given) if work.shape(given) == (1,) * wanted else None
    return (index[0], int(node.attrs.get("axis", 0)) % rank) if rank else rank_unknown(source)
