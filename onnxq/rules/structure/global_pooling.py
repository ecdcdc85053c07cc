"""Reductions over all of an image become global pooling where convolutions precede.

    ReduceMean(x, [2, 3]) = GlobalAveragePool(x)      ReduceMax(x, [2, 3]) = GlobalMaxPool(x)

and a Flatten follows where the reduction drops its axes.

Conditions:

1. x is float32 with four axes, and the reduced ones are 2 and 3.
2. x comes from a convolution or pooling, through activations, products, sums and
   concatenations of such tensors only, and its number of channels is a multiple of 16.

Measured on ONNX Runtime 1.31 CPU: such tensors lie in blocks of channels, which poolings read
and reductions do not: 1.01 to 1.29 times as fast together with the convolution. Elsewhere, or
with other numbers of channels, the reduction is the faster one (pooling 0.55 to 0.98).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.structure.reductions import reduction
from onnxq.rules.workspace import Workspace

_POOLINGS = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}
_BLOCK = 16
_SOURCES = frozenset(["Conv", "MaxPool", "AveragePool"])
_UNARY = frozenset(
    [
        *("BatchNormalization", "Clip", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu"),
        *("Relu", "Sigmoid", "Tanh"),
    ]
)
_NARY = frozenset(["Add", "Concat", "Mul", "Sum"])
_DEPTH = 6


@dataclass(frozen=True)
class FuseGlobalPooling(Rule):
    """Recognise global average and maximum pooling."""

    operators: ClassVar[frozenset[str]] = frozenset(_POOLINGS)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a reduction over height and width."""
        found = reduction(work, node)
        if found is None or found.rank != 4 or found.axes != (2, 3):
            return None
        source = found.source
        batch, channels = (work.shape(source) or (None, None))[:2]
        if work.dtype(source) != np.float32:
            return Refused(node.name, f"the input is {work.dtype(source)}, not float32")
        if not isinstance(channels, int) or channels % _BLOCK:
            return Refused(node.name, f"{channels} channels: not a multiple of {_BLOCK}")
        if not _lies_in_blocks(work, source):
            return Refused(node.name, "no convolution before it: the reduction is faster")
        op = _POOLINGS[node.op]
        shape = (batch, channels, 1, 1)
        result = work.add(op, [source], name=f"{node.name}_{op}", shape=shape)
        if not found.keepdims:
            name = f"{node.name}_Flatten"
            result = work.add("Flatten", [result], name=name, shape=shape[:2])
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became {op}")


def _lies_in_blocks(work: Workspace, tensor: Tensor, depth: int = _DEPTH) -> bool:
    """Whether the engine keeps a tensor in blocks of channels."""
    node = work.producer(tensor)
    if node is None:
        return False
    if node.op in _SOURCES or (depth == 0 and node.op in _UNARY | _NARY):
        return True
    if depth and node.op in _UNARY:
        return _lies_in_blocks(work, node.inputs[0], depth - 1)
    if depth == 0 or node.op not in _NARY or len(node.inputs) > 4:
        return False
    # Products of a tensor with its own activation (SiLU) would be walked twice.
    inputs = list({id(t): t for t in node.inputs}.values())
    return all(_lies_in_blocks(work, t, depth - 1) for t in inputs)
