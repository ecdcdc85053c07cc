"""A Concat inside a Concat along the same axis is one Concat.

    Concat(a, Concat(b, c)) = Concat(a, b, c)

1. Both join along the same axis, and nobody else reads the inner one.
2. Inputs that have no elements along that axis are left out, if others remain.

A Concat inside a Concat along another axis, or of an axis that is not known, is a near miss.

Definition: ONNX Concat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.reasons import also_read, rank_unknown
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class MergeConcats(Rule):
    """Merge a Concat with those it reads, and leave out what is empty."""

    operators: ClassVar[frozenset[str]] = frozenset(["Concat"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Put the parts of inner Concats in their place."""
        axis = joined_axis(work, node)
        parts: list[Tensor] = []
        inner: list[str] = []
        empty: list[str] = []
        reasons: list[str] = []
        for tensor in node.inputs:
            joined = _opened(work, tensor, node, axis)
            if _is_empty(work, tensor, axis):
                empty.append(f"'{tensor.name}'")
            elif isinstance(joined, Node):
                inner.append(joined.name)
                parts.extend(joined.inputs)
            else:
                reasons += [joined] if joined else []
                parts.append(tensor)
        if not parts:
            return Refused(node.name, "all of its inputs are empty")
        if not (inner or empty):
            return Refused(node.name, reasons[0]) if reasons else None
        write_inputs(work, node, parts)
        done = [f"merged with {', '.join(inner)}"] if inner else []
        done += [f"left out {', '.join(empty)}, which is empty"] if empty else []
        return Applied(node.name, " and ".join(done))


def joined_axis(work: Workspace, node: Node) -> int | None:
    """The axis of a Concat, counted from the front; None if it is not known."""
    axis = node.attrs.get("axis")
    if axis is None or axis >= 0:
        return None if axis is None else int(axis)
    rank = work.rank(node.outputs[0])
    return None if rank is None else int(axis) + rank


def write_inputs(work: Workspace, node: Node, inputs: list[Tensor]) -> None:
    """Let a node read exactly these inputs."""
    for index, tensor in enumerate(inputs):
        if index >= len(node.inputs) or node.inputs[index] is not tensor:
            work.rewire(node, index, tensor)
    if len(node.inputs) > len(inputs):
        work.drop_inputs(node, len(inputs))


def _opened(work: Workspace, tensor: Tensor, node: Node, axis: int | None) -> Node | str | None:
    """The Concat behind an input; why it is not taken apart, or None where there is none."""
    inner = work.producer(tensor, "Concat")
    if inner is None:
        return None
    along = joined_axis(work, inner)
    if along is None or axis is None:
        return rank_unknown(tensor)
    if along != axis:
        return f"'{inner.name}' joins along axis {along}, this one along {axis}"
    if work.only_reader(tensor) is node:
        return inner
    twice = sum(t is tensor for t in node.inputs) > 1
    return f"reads '{tensor.name}' more than once" if twice else also_read(tensor)


def _is_empty(work: Workspace, tensor: Tensor, axis: int | None) -> bool:
    shape = work.shape(tensor)
    return axis is not None and shape is not None and len(shape) > axis and shape[axis] == 0
