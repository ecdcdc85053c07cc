"""The operator Swish as a product.

Swish(x) = x · Sigmoid(alpha · x) (ONNX Swish, operator set 24). ONNX Runtime has a quick kernel
for the product, and runs the operator node by node with a Cast on every run (1.31, 1.6 times
as long).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import scaled
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class ExpandSwish(Rule):
    """Spell Swish by Sigmoid and Mul."""

    operators: ClassVar[frozenset[str]] = frozenset(["Swish"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the operator by the product."""
        source, alpha = node.inputs[0], float(node.attrs.get("alpha", 1.0))
        dtype, shape = work.dtype(source), work.shape(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        name = f"{node.name}_Swish"
        gate = work.add("Sigmoid", [scaled(work, source, alpha, name)], name=name, shape=shape)
        work.substitute(node.outputs[0], work.add("Mul", [source, gate], name=name, shape=shape))
        return Applied(node.name, "became x · Sigmoid(x)")
