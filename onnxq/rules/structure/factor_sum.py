"""A gate added to what it gates goes into the gate.

    x + x · g = x · (g + 1)

1. g has fewer elements than x: it is 1 long along an axis where x is not known to be. So an
   addition of large tensors becomes one of small ones (squeeze-and-excite with a residual).
2. Nobody else reads the product, and the gate is broadcast, so that the result keeps the shape
   of x.
3. float32 and wider; the two forms differ by one rounding.

Every application removes an addition of the larger tensor, so the rule ends.

Measured on ONNX Runtime 1.31 CPU: PP-OCRv4 det, with 8 such gates, 1.01 to 1.02 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_TYPES = (np.float32, np.float64)


@dataclass(frozen=True)
class FactorSum(Rule):
    """Turn a tensor plus its gated self into one product."""

    operators: ClassVar[frozenset[str]] = frozenset(["Add"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the Add by an Add of 1 to the gate."""
        found = _gated(work, node)
        if found is None:
            return None
        source, gate, product = found
        reason = _obstacle(work, source, gate, product)
        if reason:
            return Refused(node.name, reason)
        dtype = work.dtype(source)
        assert dtype is not None
        one = work.constant(f"{node.name}_one", dtype.type(1))
        wider = work.add("Add", [gate, one], name=f"{node.name}_gate", shape=work.shape(gate))
        shape = work.shape(node.outputs[0])
        result = work.add("Mul", [source, wider], name=f"{node.name}_gated", shape=shape)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"went into the gate of {product.name}")


def _gated(work: Workspace, node: Node) -> tuple[Tensor, Tensor, Node] | None:
    """(x, g, the product) of x + x·g, with the operands in any order."""
    for source, other in (node.inputs, node.inputs[::-1]):
        product = work.producer(other, "Mul")
        if product is None or source is other:
            continue
        for gate, factor in (product.inputs, product.inputs[::-1]):
            if factor is source and gate is not source:
                return source, gate, product
    return None


def _obstacle(work: Workspace, source: Tensor, gate: Tensor, product: Node) -> str:
    if work.dtype(source) not in _TYPES:
        return f"the input is {work.dtype(source)}, not float32"
    large, small = work.shape(source), work.shape(gate)
    if large is None or small is None:
        return "the shapes are not known"
    if len(small) > len(large):
        return f"the gate '{gate.name}' has a higher rank than '{source.name}'"
    pairs = list(zip(large[::-1], small[::-1], strict=False))
    if not all(theirs in (1, mine) and theirs is not None for mine, theirs in pairs):
        return f"the gate '{gate.name}' is not broadcast to '{source.name}'"
    if all(mine == theirs for mine, theirs in pairs) and len(small) == len(large):
        return f"the gate '{gate.name}' is as large as '{source.name}'"
    if work.only_reader(product.outputs[0]) is None:
        return f"the product '{product.outputs[0].name}' is also read elsewhere"
    return ""
