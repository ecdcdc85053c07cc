"""Softmax spelled out.

    exp(x - c) / sum(exp(x - c)) = Softmax(x)    for any c that is the same along the axis

(ONNX Softmax). c is the maximum along the axis, or nothing was subtracted.

1. The axis is the last one. Along others ONNX Runtime transposes, and is mostly slower then than
   with the spelled form (1.31); before operator set 13 Softmax cannot do without flattening.
2. The exponentials are read by nothing else.

Caveat: exponentials that overflow gave NaN where no maximum was subtracted; Softmax is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.reductions import reduced_along
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

AXIS_IS_FREE = 13
"""The operator set since which Softmax takes one axis and flattens nothing."""


@dataclass(frozen=True)
class FuseSoftmax(Rule):
    """Recognise exp(x - max) / sum(exp(x - max))."""

    operators: ClassVar[frozenset[str]] = frozenset(["Div", "Mul"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the quotient by Softmax."""
        pair = _numerator_and_sum(work, node)
        exponential = None if pair is None else work.producer(pair[0], "Exp")
        if pair is None or exponential is None:
            return None
        axis = reduced_along(work, pair[1], "ReduceSum", pair[0])
        if axis is None or len(work.readers(pair[0]) or ()) != 2:
            return None
        if not is_last(work, pair[0], axis):
            return Refused(node.name, f"axis {axis} is not known to be the last")
        dtype = work.dtype(pair[0])
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        source = shifted_source(work, exponential.inputs[0], axis)
        name, shape, attrs = f"{node.name}_Softmax", work.shape(pair[0]), {"axis": axis}
        work.substitute(
            node.outputs[0], work.add("Softmax", [source], name=name, attrs=attrs, shape=shape)
        )
        return Applied(node.name, f"became Softmax along axis {axis}")


def is_last(work: Workspace, tensor: Tensor, axis: int) -> bool:
    """Whether an axis, as `reduced_along` gives it, is a tensor's last in any operator set."""
    rank = work.rank(tensor)
    return axis == rank - 1 if rank is not None else axis == -1 and work.opset >= AXIS_IS_FREE


def shifted_source(work: Workspace, tensor: Tensor, axis: int) -> Tensor:
    """x, if the tensor is x minus its maximum along the axis; else the tensor itself."""
    shift = work.producer(tensor, "Sub")
    if shift is None or reduced_along(work, shift.inputs[1], "ReduceMax", shift.inputs[0]) != axis:
        return tensor
    return shift.inputs[0]


def _numerator_and_sum(work: Workspace, node: Node) -> tuple[Tensor, Tensor] | None:
    if node.op == "Div":
        return node.inputs[0], node.inputs[1]
    for index in (1, 0):
        inverse = work.producer(node.inputs[index], "Reciprocal")
        if inverse is not None:
            return node.inputs[1 - index], inverse.inputs[0]
    return None
