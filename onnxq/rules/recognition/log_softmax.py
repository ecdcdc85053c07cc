"""LogSoftmax spelled out.

LogSoftmax(x) = log(Softmax(x)) = x - log(sum(exp x)) (ONNX LogSoftmax), met as

1. Log of a Softmax that nothing else reads, along any axis;
2. x - ReduceLogSumExp(x) along the last axis;
3. x - Log(ReduceSum(Exp(x))) along the last axis, where x may itself be y minus its maximum.

Along other axes 2 and 3 are near misses, as is a Softmax that others read, too.

Caveat: the logarithm of a probability too small for float32 was minus infinity; it is finite now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.reasons import also_read
from onnxq.rules.recognition.reductions import reduced_along, what_is_reduced
from onnxq.rules.recognition.softmax import is_last, shifted_source
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

Read = tuple[Tensor, int | None] | str | None
"""(x, axis), why it is not quite a LogSoftmax, or None where it is something else."""


@dataclass(frozen=True)
class FuseLogSoftmax(Rule):
    """Recognise log(Softmax(x)) and x - log(sum(exp x))."""

    operators: ClassVar[frozenset[str]] = frozenset(["Log", "Sub"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the logarithm or the difference by LogSoftmax."""
        found = _of_softmax(work, node) if node.op == "Log" else _of_sum(work, node)
        if isinstance(found, str):
            return Refused(node.name, found)
        if found is None:
            return None
        source, axis = found
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        name, shape = f"{node.name}_LogSoftmax", work.shape(source)
        result = work.add("LogSoftmax", [source], name=name, attrs={"axis": axis}, shape=shape)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, "became LogSoftmax")


def _of_softmax(work: Workspace, node: Node) -> Read:
    softmax = work.producer(node.inputs[0], "Softmax")
    if softmax is None:
        return None
    if work.only_reader(node.inputs[0]) is not node:
        return also_read(node.inputs[0])
    return softmax.inputs[0], softmax.attrs.get("axis")


def _of_sum(work: Workspace, node: Node) -> Read:
    source, total = node.inputs
    axis = reduced_along(work, total, "ReduceLogSumExp", source)
    if axis is None:
        axis = _logarithm(work, total, source)
    if axis is None:
        return None
    if not is_last(work, source, axis):
        return f"axis {axis} is not known to be the last"
    return shifted_source(work, source, axis), axis


def _logarithm(work: Workspace, total: Tensor, source: Tensor) -> int | None:
    """The axis along which `total` is log(sum(exp(source)))."""
    logarithm = work.producer(total, "Log")
    if logarithm is None:
        return None
    total = logarithm.inputs[0]
    power = work.producer(what_is_reduced(work, total, "ReduceSum"), "Exp")
    if power is None or power.inputs[0] is not source:
        return None
    return reduced_along(work, total, "ReduceSum", power.outputs[0])
