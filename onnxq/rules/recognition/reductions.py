"""Reductions along one axis whose result is broadcast back over it."""

from __future__ import annotations

from onnxq.graph import Node, Tensor
from onnxq.rules.workspace import Workspace


def reduced_along(work: Workspace, tensor: Tensor, op: str, source: Tensor) -> int | None:
    """The axis along which `tensor` is the reduction of `source`, kept with length 1.

    A reduction that drops its axis counts too where Reshape or Unsqueeze puts it back, and
    Expand may follow; only the last axis is read so.

    Returns:
        The axis, not negative where the rank is known; None if it is none, or several.
    """
    node = work.producer(tensor, op)
    if node is None:
        return _reduced_and_viewed(work, tensor, op, source)
    if node.inputs[0] is not source or not node.attrs.get("keepdims", 1):
        return None
    return single_axis(work, node)


def what_is_reduced(work: Workspace, tensor: Tensor, op: str) -> Tensor | None:
    """What a reduction, perhaps spread again by up to two views, reduces."""
    for _ in range(3):
        node = work.producer(tensor, op, "Reshape", "Unsqueeze", "Expand")
        if node is None:
            return None
        tensor = node.inputs[0]
        if node.op == op:
            return tensor
    return None


def single_axis(work: Workspace, node: Node) -> int | None:
    """The one axis of a Reduce; not negative where the rank is known."""
    given = node.attrs.get("axes")
    value = work.value(work.input(node, 1))
    if value is not None:
        given = [int(axis) for axis in value.reshape(-1)]
    if work.input(node, 1) is not None and value is None:
        return None
    rank = work.rank(node.inputs[0])
    if not given:
        # No axes mean all, or none with noop_with_empty_axes.
        return 0 if rank == 1 and not node.attrs.get("noop_with_empty_axes", 0) else None
    if len(given) != 1:
        return None
    axis = int(given[0])
    return axis + rank if axis < 0 and rank is not None else axis


def _reduced_and_viewed(work: Workspace, tensor: Tensor, op: str, source: Tensor) -> int | None:
    shape = work.shape(source)
    if not shape or None in shape or work.shape(tensor) not in (shape, (*shape[:-1], 1)):
        return None
    kept = (*shape[:-1], 1)
    spread = work.producer(tensor, "Expand")
    if spread is not None:
        tensor = spread.inputs[0]
    view = work.producer(tensor, "Reshape", "Unsqueeze")
    if work.shape(tensor) != kept:
        return None
    node = work.producer(tensor if view is None else view.inputs[0], op)
    if node is None or node.inputs[0] is not source:
        return None
    last = len(shape) - 1
    return last if single_axis(work, node) == last else None
