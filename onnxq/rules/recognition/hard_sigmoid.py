"""HardSigmoid spelled as a clipped line.

HardSigmoid(x) = max(0, min(1, alpha·x + beta)) (ONNX HardSigmoid), so for h > 0

    clip(a·x + b, 0, h) = h · HardSigmoid(x; a/h, b/h)

Clips from 0 to 6 of x + 3 are the usual spelling, with the division by 6 somewhere behind.

1. h is 1, or goes into a scalar of the product behind: a Mul by h would cost what was won.
2. b is not 0: a clip of x itself is the activation ReLU6.
3. The line is read nowhere else, or it would be computed all the same.

Caveat: a/h and b/h are rounded to float32, an error of one unit in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import absorb, absorber, own_sum
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import bounds, scaled_sum
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class Gate:
    """A tensor read as height · HardSigmoid(source; slope, offset)."""

    source: Tensor
    slope: float
    offset: float
    height: float


@dataclass(frozen=True)
class FuseHardSigmoid(Rule):
    """Recognise HardSigmoid in Clip, or Min and Max, of a scaled sum."""

    operators: ClassVar[frozenset[str]] = frozenset(["Clip", "Min", "Max"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the clip and the sum before it by HardSigmoid."""
        output = node.outputs[0]
        clip = bounds(work, output)
        line = own_sum(work, clip.source)
        if (
            work.only_reader(clip.source) is None
            or line.addend == 0.0
            or not isfinite(clip.high - clip.low)
        ):
            return None
        if clip.low != 0.0 or clip.high <= 0.0:
            return Refused(node.name, f"clips from {clip.low:g} to {clip.high:g}, not from 0 to h")
        dtype = work.dtype(line.source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        behind = absorber(work, output)
        if clip.high != 1.0 and behind is None:
            return Refused(node.name, f"its height {clip.high:g} meets no scalar behind")
        slope, offset = line.factor / clip.high, line.addend / clip.high
        name, shape = f"{node.name}_HardSigmoid", work.shape(output)
        attrs = {"alpha": slope, "beta": offset}
        work.substitute(
            output, work.add("HardSigmoid", [line.source], name=name, attrs=attrs, shape=shape)
        )
        if clip.high != 1.0 and behind is not None:
            absorb(work, behind, clip.high)
        return Applied(node.name, f"became HardSigmoid({slope:.4g}·x + {offset:.4g})")


def read_gate(work: Workspace, tensor: Tensor) -> Gate | None:
    """Read HardSigmoid, or a clipped line, with the scalars before it."""
    node = work.producer(tensor, "HardSigmoid")
    if node is not None:
        slope, offset = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
        line = scaled_sum(work, node.inputs[0])
        return Gate(line.source, slope * line.factor, slope * line.addend + offset, 1.0)
    clip = bounds(work, tensor)
    if clip.low != 0.0 or not isfinite(clip.high) or clip.high <= 0.0:
        return None
    line = scaled_sum(work, clip.source)
    return Gate(line.source, line.factor / clip.high, line.addend / clip.high, clip.high)
