"""Elu spelled out.

Elu(x) = x for x > 0, alpha · (e^x - 1) else (ONNX Elu; Clevert et al., 1511.07289), met as

1. Where(x > 0, x, alpha·e^x - alpha), with any of the four comparisons with 0;
2. Relu(x) + (alpha·e^min(x, 0) - alpha);
3. Relu(x) + Min(0, alpha·e^x - alpha), or Relu(x) - Relu(alpha - alpha·e^x).

The exponent may be x or min(x, 0) in all but 2. Spelling 2 is the quicker one for large tensors
(see `onnxq.rules.expansion.elu`), and stays there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.expansion.size import is_large
from onnxq.rules.recognition.two_slopes import chosen_by_sign
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import bounds, close, scaled_sum
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FuseElu(Rule):
    """Recognise Elu in Where and in sums of Relu and exponentials."""

    operators: ClassVar[frozenset[str]] = frozenset(["Add", "Sub", "Where"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the choice or the sum by Elu."""
        found = _chosen(work, node) if node.op == "Where" else _sum(work, node)
        if found is None:
            return None
        source, alpha = found
        if alpha <= 0.0:
            return Refused(node.name, f"alpha is {alpha:g}")
        dtype = work.dtype(source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        name, shape = f"{node.name}_Elu", work.shape(source)
        result = work.add("Elu", [source], name=name, attrs={"alpha": alpha}, shape=shape)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became Elu with alpha {alpha:.4g}")


def _chosen(work: Workspace, node: Node) -> tuple[Tensor, float] | None:
    found = chosen_by_sign(work, node)
    if found is None or found[1] is not found[0]:
        return None
    source, _, below = found
    height = _height(work, below, source)
    return None if height is None else (source, height)


def _sum(work: Workspace, node: Node) -> tuple[Tensor, float] | None:
    for index in (0,) if node.op == "Sub" else (0, 1):
        line = bounds(work, node.inputs[index], 1)
        if (line.low, line.high) != (0.0, inf):
            continue
        alpha = _below(work, node, node.inputs[1 - index], line.source)
        if alpha is not None:
            return line.source, alpha
    return None


def _below(work: Workspace, node: Node, tensor: Tensor, source: Tensor) -> float | None:
    """Alpha, if Relu(source) plus or minus `tensor` is Elu(source)."""
    outer = bounds(work, tensor, 1)
    height = _height(work, outer.source, source, clipped=not outer.nodes)
    if height is None:
        return None
    if not outer.nodes:
        return height if node.op == "Add" and height > 0.0 and not is_large(work, source) else None
    sign, limits = (1.0, (-inf, 0.0)) if node.op == "Add" else (-1.0, (0.0, inf))
    fits = (outer.low, outer.high) == limits and sign * height > 0.0
    return sign * height if fits else None


def _height(
    work: Workspace, tensor: Tensor, source: Tensor, *, clipped: bool = False
) -> float | None:
    """The factor h of h · e^x - h, where x or (with `clipped`, only) min(x, 0) is the exponent."""
    line = scaled_sum(work, tensor)
    exponential = work.producer(line.source, "Exp")
    if exponential is None or not close(line.addend, -line.factor):
        return None
    inside = exponential.inputs[0]
    if inside is source:
        return None if clipped else line.factor
    limited = bounds(work, inside, 1)
    fits = limited.source is source and (limited.low, limited.high) == (-inf, 0.0)
    return line.factor if fits else None
