"""Clips and absolute values that change nothing, since their input lies within already.

1. Relu, Clip, Min and Max with a scalar, after operators whose results lie within the bounds:
   Sigmoid, Softmax, Exp, Abs, Sqrt, sums of such, another Relu, pools and views of any of them.
2. Abs of what is never negative.

Definitions: ONNX operators. Caveat: where the original turned NaN into a number, NaN stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.ranges import range_of
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import Bounds, bounds
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class RemoveRedundantClips(Rule):
    """Remove Relu, Clip and Abs of what lies within their bounds."""

    operators: ClassVar[frozenset[str]] = frozenset(["Abs", "Clip", "Relu", "Min", "Max"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Remove the node if its input never leaves the bounds."""
        output = node.outputs[0]
        absolute = Bounds(node.inputs[0], 0.0, inf, (node,))
        clip = absolute if node.op == "Abs" else bounds(work, output, 1)
        dtype = work.dtype(clip.source)
        if not clip.nodes or dtype is None or dtype.kind != "f":
            return None
        low, high = range_of(work, clip.source)
        if low < clip.low or high > clip.high or (low, high) == (-inf, inf):
            return None
        obstacle = work.obstacle(output, clip.source)
        if obstacle:
            return Refused(node.name, obstacle)
        work.substitute(output, clip.source)
        return Applied(node.name, f"removed: its input lies from {low:g} to {high:g}")
