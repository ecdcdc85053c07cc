"""A chain of Reshape, Flatten, Squeeze and Unsqueeze is one of them, or nothing at all.

All of them keep the elements in their order, so that only the last shape counts:

    Reshape(Reshape(x, s), t) = Reshape(x, t')

1. The chain restores the shape of x: its readers read x.
2. Two Squeezes, or two Unsqueezes, of known axes become one.
3. A Reshape to a constant target that copies nothing (no 0) reads x itself.
4. Else the result's shape must be a constant target for x: see `targets`.

In 2 to 4 nobody else may read what stands between. Definitions: ONNX operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import integers, operand
from onnxq.rules.cleaning.bypass import bypass, same_shape
from onnxq.rules.cleaning.targets import become_reshape, target_of
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


@dataclass(frozen=True)
class MergeReshapes(Rule):
    """Merge two operators that only change the shape."""

    operators: ClassVar[frozenset[str]] = frozenset(_RESHAPING)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge a node with the one before it."""
        between = node.inputs[0]
        first = work.producer(between, *_RESHAPING)
        if first is None or work.opset < 5:
            return None
        source = first.inputs[0]
        if same_shape(work, source, node.outputs[0]):
            return bypass(work, node, source, f"{node.op} undid {first.name} ({first.op})")
        if work.only_reader(between) is None:
            return None
        done = Applied(node.name, f"merged with {first.name} ({first.op})")
        if _merge_axes(work, first, node) or _skip(work, node, source):
            return done
        before, after = work.shape(source), work.shape(node.outputs[0])
        if before is None or after is None:
            return Refused(node.name, f"the shape around {first.name} ({first.op}) is not known")
        target = target_of(before, after)
        if isinstance(target, str):
            return Refused(node.name, target)
        become_reshape(work, node, source, target)
        return done


def _skip(work: Workspace, node: Node, source: Tensor) -> bool:
    """Let a Reshape whose target says it all read `source`."""
    target = integers(work, work.input(node, 1)) if node.op == "Reshape" else None
    if target is None or (0 in target and not node.attrs.get("allowzero", 0)):
        return False
    work.rewire(node, 0, source)
    return True


def _merge_axes(work: Workspace, first: Node, second: Node) -> bool:
    """Merge two Squeezes or two Unsqueezes."""
    if first.op != second.op or first.op not in ("Squeeze", "Unsqueeze"):
        return False
    inner, outer = operand(work, first, 1, "axes"), operand(work, second, 1, "axes")
    whole = work.rank(first.inputs[0] if first.op == "Squeeze" else second.outputs[0])
    if not inner or not outer or whole is None:
        return False
    # The axes of the second one for Squeeze, of the first one for Unsqueeze, count what is left.
    here, there = (inner, outer) if first.op == "Squeeze" else (outer, inner)
    taken = {a % whole for a in here}
    left = [a for a in range(whole) if a not in taken]
    axes = sorted(taken | {left[a] for a in there})
    work.rewire(second, 0, first.inputs[0])
    if work.opset < 13:
        work.change(second, axes=axes)
    else:
        work.rewire(second, 1, work.constant(f"{second.name}_axes", np.asarray(axes, np.int64)))
    return True
