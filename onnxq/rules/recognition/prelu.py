"""PRelu spelled by Relu.

PRelu(x) = Relu(x) + s · min(x, 0) (ONNX PRelu), with constant slopes s for each channel, where
min(x, 0) may be -Relu(-x), or (x - |x|)/2 as `FuseLeakyRelu` leaves it. The slopes must not
broadcast x to another shape.

ONNX Runtime's PRelu is slow for large tensors, but its quick spellings can be written for any
PRelu (`onnxq.rules.expansion.prelu`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.two_slopes import readings
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import product
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FusePRelu(Rule):
    """Recognise Relu(x) - s · Relu(-x)."""

    operators: ClassVar[frozenset[str]] = frozenset(["Add", "Sub"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a sum of Relu and scaled Relu by PRelu."""
        for index in (0,) if node.op == "Sub" else (0, 1):
            found = _match(work, node.inputs[index], node.inputs[1 - index])
            if found is not None:
                break
        else:
            return None
        source, slopes = found
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        if not _fits(work, slopes, source):
            return Refused(node.name, f"slopes of shape {list(slopes.shape)} may broadcast x")
        signed = slopes if node.op == "Add" else -slopes
        given = work.constant(f"{node.name}_slopes", signed.astype(np.float32))
        name, shape = f"{node.name}_PRelu", work.shape(source)
        work.substitute(node.outputs[0], work.add("PRelu", [source, given], name=name, shape=shape))
        return Applied(node.name, f"became PRelu with {slopes.size} slopes")


def _match(
    work: Workspace, above: Tensor, below: Tensor
) -> tuple[Tensor, NDArray[np.float64]] | None:
    """(x, s) of above = Relu(x) and below = s · min(x, 0), where s is not a scalar."""
    if work.producer(below, "Mul", "Div", "Neg") is None:
        return None
    read = product(work, below)
    constants = [work.value(t) for t in read.factors if work.value(t) is not None]
    others = [t for t in read.factors if work.value(t) is None]
    if len(others) != 1 or len(constants) != 1 or constants[0] is None:
        return None
    halves = {id(r.source): r for r in readings(work, others[0]) if r.positive == 0.0}
    for line in readings(work, above):
        half = halves.get(id(line.source))
        if half is not None and (line.positive, line.negative) == (1.0, 0.0):
            slopes = constants[0].astype(np.float64) * read.factor * half.negative
            return line.source, slopes
    return None


def _fits(work: Workspace, slopes: NDArray[np.float64], source: Tensor) -> bool:
    shape = work.shape(source)
    if shape is None or slopes.ndim > len(shape):
        return False
    pairs = zip(slopes.shape, shape[len(shape) - slopes.ndim :], strict=True)
    return all(length in (1, known) for length, known in pairs)
