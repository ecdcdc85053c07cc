"""Which axes a ReduceMean takes the mean of (ONNX ReduceMean)."""

from __future__ import annotations

from onnxq.graph import Node
from onnxq.rules.workspace import Workspace


def reduced_axes(work: Workspace, node: Node) -> tuple[int, ...] | None:
    """The axes, none negative and in order; None if they are not known.

    They are an attribute below operator set 18 and an input since.
    """
    rank = work.rank(node.inputs[0])
    tensor = work.input(node, 1)
    known = work.value(tensor)
    if rank is None or (tensor is not None and known is None):
        return None
    given = node.attrs.get("axes", ()) if known is None else known.reshape(-1).tolist()
    axes = tuple(sorted({int(axis) % rank for axis in given}))
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return axes
