"""Sigmoid spelled by Tanh.

    (1 + Tanh(x)) / 2 = Sigmoid(2·x),    so    f·Tanh(x) + f = 2·f · Sigmoid(2·x)

The factor 2 within goes into a scalar before where there is one. The factor 2·f must be 1 or go
into a scalar behind; else the identity wins nothing, and nothing is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import absorb, absorber, own_sum, scaled
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import ScaledSum, affine_step, close
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FuseTanhSigmoid(Rule):
    """Recognise (1 + Tanh(x/2)) / 2."""

    operators: ClassVar[frozenset[str]] = frozenset(["Add", "Sub", "Mul", "Div"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a scaled sum of Tanh by Sigmoid."""
        output = node.outputs[0]
        line = own_sum(work, output)
        turned = work.producer(line.source, "Tanh")
        if turned is None or work.only_reader(line.source) is None:
            return None
        reader = work.only_reader(output, "Add", "Sub", "Mul", "Div", "Neg")
        if reader is not None and affine_step(work, reader) is not None:
            return None
        if not close(line.factor, line.addend) or line.factor == 0.0:
            return None
        height, behind = 2.0 * line.factor, absorber(work, output)
        if not close(height, 1.0) and behind is None:
            return Refused(node.name, f"the factor {height:g} meets no scalar behind")
        dtype = work.dtype(line.source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        inner, name = own_sum(work, turned.inputs[0]), f"{node.name}_Sigmoid"
        if inner.addend != 0.0 or work.only_reader(turned.inputs[0]) is None:
            inner = ScaledSum(turned.inputs[0])
        doubled = scaled(work, inner.source, 2.0 * inner.factor, name)
        work.substitute(output, work.add("Sigmoid", [doubled], name=name, shape=work.shape(output)))
        if behind is not None and not close(height, 1.0):
            absorb(work, behind, height)
        return Applied(node.name, "became Sigmoid")
