"""HardSigmoid spelled as a clipped line.

HardSigmoid(x) = max(0, min(1, alpha·x + beta)) (ONNX HardSigmoid), so for h > 0

    clip(a·x + b, 0, h) = h · HardSigmoid(x; a/h, b/h)

Clips from 0 to 6 of x + 3 are the usual spelling, with the division by 6 somewhere behind.
A clip of x itself (a = 1, b = 0) is left alone: it is the activation ReLU6.

Caveat: a/h and b/h are rounded to float32, an error of one unit in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import bounds, scaled_sum
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FuseHardSigmoid(Rule):
    """Recognise HardSigmoid in Clip, or Min and Max, of a scaled sum."""

    operators: ClassVar[frozenset[str]] = frozenset(["Clip", "Min", "Max"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the clip and the sum before it by HardSigmoid, and a Mul by h."""
        output = node.outputs[0]
        clip = bounds(work, output)
        line = scaled_sum(work, clip.source)
        if not line.nodes or line.addend == 0.0 or not isfinite(clip.high):
            return None
        if clip.low != 0.0 or clip.high <= 0.0:
            return Refused(node.name, f"clips from {clip.low:g} to {clip.high:g}, not from 0 to h")
        dtype = work.dtype(line.source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        alpha, beta = line.factor / clip.high, line.addend / clip.high
        shape = work.shape(output)
        result = work.add(
            "HardSigmoid",
            [line.source],
            name=f"{node.name}_HardSigmoid",
            attrs={"alpha": alpha, "beta": beta},
            shape=shape,
        )
        if clip.high != 1.0:
            height = work.constant(f"{node.name}_height", np.float32(clip.high))
            result = work.add("Mul", [result, height], name=f"{node.name}_scaled", shape=shape)
        work.substitute(output, result)
        return Applied(node.name, f"became HardSigmoid({alpha:.4g}·x + {beta:.4g})")
