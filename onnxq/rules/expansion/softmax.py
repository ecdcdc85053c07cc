"""Softmax and LogSoftmax along an axis with several axes behind it.

ONNX Runtime transposes such tensors, as slowly as one element at a time (1.31). Instead,

1. along an axis of more than 8 elements, the axes behind are flattened to one before and spread
   again after: 2 to 7 times as fast;
2. along an axis of up to 8 elements the parts are spelled out, 4 to 14 times as fast for
   class scores of pictures:

       Softmax(x) = exp(d) / sum(exp(d)),    LogSoftmax(x) = d - log(sum(exp(d))),    d = x - max(x)

Before operator set 13 the operators flatten to two axes, and are left alone (ONNX Softmax).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.softmax import AXIS_IS_FREE
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Shape, Workspace

_AXES_ARE_INPUTS = 18
_FEW = 8
_LEAST_BEHIND = 64


@dataclass(frozen=True)
class ExpandSoftmax(Rule):
    """Flatten what lies behind the axis of a Softmax, or spell the Softmax out."""

    operators: ClassVar[frozenset[str]] = frozenset(["Softmax", "LogSoftmax"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Rewrite a Softmax along an axis with several axes behind."""
        source, shape = node.inputs[0], work.shape(node.inputs[0])
        if work.opset < AXIS_IS_FREE or shape is None or work.dtype(source) != np.float32:
            return None
        axis = int(node.attrs.get("axis", -1)) % max(len(shape), 1)
        behind = [length for length in shape[axis + 1 :] if isinstance(length, int)]
        if len(shape) - axis - 1 < 2 or sorted(behind)[:-1] == [1] * (len(shape) - axis - 2):
            return None
        if len(behind) < len(shape) - axis - 1:
            return Refused(node.name, f"the axes behind axis {axis} are not fixed")
        if prod(behind) < _LEAST_BEHIND:
            return None
        length, name = shape[axis], f"{node.name}_{node.op}"
        if isinstance(length, int) and length <= _FEW:
            write = _Writer(work, source, shape, axis, name)
            result = write.softmax() if node.op == "Softmax" else write.log_softmax()
            what = "spelled out"
        else:
            result = _flattened(work, node, shape, axis, name)
            what = "flattened behind its axis"
        work.substitute(node.outputs[0], result)
        return Applied(node.name, what)


def _flattened(work: Workspace, node: Node, shape: Shape, axis: int, name: str) -> Tensor:
    front, behind = shape[: axis + 1], [int(d or 0) for d in shape[axis + 1 :]]

    def reshaped(tensor: Tensor, lengths: list[int]) -> Tensor:
        target = work.constant(f"{name}_shape", np.array([0] * len(front) + lengths, np.int64))
        known = (*front, *lengths)
        return work.add("Reshape", [tensor, target], name=f"{name}_shaped", shape=known)

    flat = reshaped(node.inputs[0], [prod(behind)])
    result = work.add(node.op, [flat], name=name, attrs={"axis": axis}, shape=work.shape(flat))
    return reshaped(result, behind)


@dataclass(frozen=True)
class _Writer:
    """Writes the parts of Softmax."""

    work: Workspace
    source: Tensor
    shape: Shape
    axis: int
    name: str

    def softmax(self) -> Tensor:
        power = self._full("Exp", self._shifted())
        return self._full("Div", power, self._reduced("ReduceSum", power))

    def log_softmax(self) -> Tensor:
        shifted = self._shifted()
        total = self._reduced("ReduceSum", self._full("Exp", shifted))
        logarithm = self.work.add("Log", [total], name=self.name, shape=self.work.shape(total))
        return self._full("Sub", shifted, logarithm)

    def _shifted(self) -> Tensor:
        return self._full("Sub", self.source, self._reduced("ReduceMax", self.source))

    def _full(self, op: str, *inputs: Tensor) -> Tensor:
        return self.work.add(op, inputs, name=self.name, shape=self.shape)

    def _reduced(self, op: str, tensor: Tensor) -> Tensor:
        shape = (*self.shape[: self.axis], 1, *self.shape[self.axis + 1 :])
        if op == "ReduceMax" and self.work.opset < _AXES_ARE_INPUTS:
            attrs = {"axes": [self.axis]}
            return self.work.add(op, [tensor], name=self.name, attrs=attrs, shape=shape)
        axes = self.work.constant(f"{self.name}_axes", np.array([self.axis], np.int64))
        return self.work.add(op, [tensor, axes], name=self.name, shape=shape)
