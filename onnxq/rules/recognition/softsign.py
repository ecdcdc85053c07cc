"""Softsign spelled out: Softsign(x) = x / (1 + |x|) (ONNX Softsign)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import scaled_sum
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FuseSoftsign(Rule):
    """Recognise x / (1 + |x|)."""

    operators: ClassVar[frozenset[str]] = frozenset(["Div"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the quotient by Softsign."""
        source = node.inputs[0]
        below = scaled_sum(work, node.inputs[1])
        absolute = work.producer(below.source, "Abs")
        if absolute is None or absolute.inputs[0] is not source:
            return None
        if (below.factor, below.addend) != (1.0, 1.0):
            line = f"{below.addend:g} + {below.factor:g}·|x|"
            return Refused(node.name, f"x is divided by {line}, not by 1 + |x|")
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        shape = work.shape(source)
        result = work.add("Softsign", [source], name=f"{node.name}_Softsign", shape=shape)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, "became Softsign")
