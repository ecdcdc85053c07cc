"""Take a node that hands on one of its inputs out of the way."""

from __future__ import annotations

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import Dimensions
from onnxq.rules.workspace import Workspace

Idle = bool | str
"""Whether a node hands on its first input as it is; a reason where it nearly does."""


def bypass(work: Workspace, node: Node, source: Tensor, what: str) -> Event:
    """Let whoever reads a node's first result read `source` instead.

    Args:
        work: The model.
        node: The node.
        source: What the node's first result equals.
        what: What was done, for the report.
    """
    output = node.outputs[0]
    reason = work.obstacle(output, source)
    if reason:
        return Refused(node.name, reason)
    work.substitute(output, source)
    return Applied(node.name, what)


def only_first_is_read(work: Workspace, node: Node) -> bool:
    """Whether nobody reads the node's further results (masks, indices)."""
    return not any(t.name and (t.outputs or work.is_held(t)) for t in node.outputs[1:])


def same_shape(work: Workspace, first: Tensor, second: Tensor) -> bool:
    """Whether two tensors certainly have the same shape."""
    shape = work.shape(first)
    return certain(shape) and shape == work.shape(second)


def certain(shape: Dimensions | None) -> bool:
    """Whether every dimension is a number or a term."""
    return shape is not None and None not in shape
