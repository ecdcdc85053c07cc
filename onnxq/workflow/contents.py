"""What a model holds, in a few figures: to be compared before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from onnxq.graph import Model, Node
from onnxq.measure import Work, bytes_by_dtype, work_of
from onnxq.workflow.sizes import outlined


@dataclass(frozen=True)
class Contents:
    """What a model holds.

    Attributes:
        nodes: Number of nodes, those in bodies of If, Loop and Scan included; Constant nodes
            count as constants.
        operators: Number of nodes by operator, the most frequent first; those of other
            domains are written `domain::operator`.
        opset: Version of ONNX's operator set.
        constant_bytes: Bytes of the constants.
        file_bytes: Bytes of the file, its external data among them.
        macs: Multiply-accumulates of one run; None where they were not counted.
        work: The same with the bits of what is multiplied.
    """

    nodes: int
    operators: Mapping[str, int]
    opset: int
    constant_bytes: int
    file_bytes: int
    macs: int | None
    work: Work | None = None


def contents_of(model: Model, dimensions: Mapping[str, int] | None) -> Contents:
    """Count what a model holds.

    Args:
        model: The model.
        dimensions: Sizes of free dimensions by name, for the MACs; 1 where none is given.
            None: they are not counted.
    """
    proto, size = outlined(model)
    operators = Counter(_operator(n) for n in model.all_nodes if n.op != "Constant")
    work = None if dimensions is None else work_of(proto, dimensions)
    ordered = sorted(operators.items(), key=lambda entry: (-entry[1], entry[0]))
    return Contents(
        nodes=operators.total(),
        operators=dict(ordered),
        opset=model.opset,
        constant_bytes=sum(bytes_by_dtype(proto).values()),
        file_bytes=size,
        macs=None if work is None else work.macs,
        work=work,
    )


def work_of_contents(before: Contents, after: Contents) -> tuple[Work, Work] | None:
    """The work of both, where it was counted."""
    return (before.work, after.work) if before.work and after.work else None


def _operator(node: Node) -> str:
    return node.op if node.standard else f"{node.domain}::{node.op}"
