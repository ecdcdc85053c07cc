"""LeakyRelu spelled by what it does to each sign.

LeakyRelu(x) = x for x >= 0, alpha · x else (ONNX LeakyRelu). A tensor that is p · x for positive
and n · x for negative x is p · LeakyRelu(x; n/p), or Relu where n is 0. It may be spelled as

1. Max(p·x, n·x) with p >= n, or Min with p <= n;
2. a sum of terms c·x, c·Relu(s·x), c·Min(s·x, 0) and c·Abs(s·x), at least one of them not c·x;
3. Where(x > 0, p·x, n·x), with any of the four comparisons with 0;
4. PRelu with one slope for all elements;
5. LeakyRelu with a slope of 0.

ONNX Runtime takes LeakyRelu into the convolution before it, and none of the spellings; its PRelu
is 25 times slower (1.31). A factor p other than 1 goes into a scalar of the product behind, or
stays as one Mul where nodes are won even so. Where p is 0, n · Min(x, 0) is the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.scaling import absorb, absorber, scaled
from onnxq.rules.recognition.two_slopes import TwoSlopes, chosen_by_sign, common, readings
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import close, keeps_shape
from onnxq.rules.workspace import Workspace

_NODES_OF_SCALED = 2


@dataclass(frozen=True)
class FuseLeakyRelu(Rule):
    """Recognise LeakyRelu and Relu in Max, Min, Where, PRelu and sums of Relu and Abs."""

    operators: ClassVar[frozenset[str]] = frozenset(
        ["Add", "LeakyRelu", "Max", "Min", "PRelu", "Sub", "Where"]
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the node by LeakyRelu or Relu of what it depends on."""
        found = _read(work, node)
        if found is None:
            return None
        if found.positive == 0.0 and (node.op == "PRelu" or found.negative == 0.0):
            return None
        dtype = work.dtype(found.source)
        if dtype != np.float32:
            return Refused(node.name, f"the input is {dtype}, not float32")
        output, factor = node.outputs[0], found.positive or found.negative
        behind = None if close(factor, 1.0) else absorber(work, output)
        if not close(factor, 1.0) and behind is None and len(found.nodes) <= _NODES_OF_SCALED:
            return None
        result, what = _write(work, found, f"{node.name}_LeakyRelu")
        if behind is None:
            result = scaled(work, result, factor, node.name)
        work.substitute(output, result)
        if behind is not None:
            absorb(work, behind, factor)
        return Applied(node.name, f"became {what}")


def _write(work: Workspace, found: TwoSlopes, name: str) -> tuple[Tensor, str]:
    """What has the slopes of `found`, divided by the first of them that is not 0."""
    source, shape = found.source, work.shape(found.source)
    if found.positive == 0.0:
        zero = work.constant(f"{name}_zero", np.float32(0.0))
        return work.add("Min", [source, zero], name=name, shape=shape), "Min with 0"
    slope = found.negative / found.positive
    if slope == 0.0:
        return work.add("Relu", [source], name=name, shape=shape), "Relu"
    result = work.add("LeakyRelu", [source], name=name, attrs={"alpha": slope}, shape=shape)
    return result, f"LeakyRelu with slope {slope:.4g}"


def _read(work: Workspace, node: Node) -> TwoSlopes | None:
    if node.op == "LeakyRelu":
        slope = float(node.attrs.get("alpha", 0.01))
        return TwoSlopes(node.inputs[0], 1.0, 0.0, (node,)) if slope == 0.0 else None
    if node.op == "PRelu":
        return _parametric(work, node)
    if node.op == "Where":
        return _chosen(work, node)
    if len(node.inputs) != 2:
        return None
    return _extreme(work, node) if node.op in ("Max", "Min") else _sum(work, node)


def _parametric(work: Workspace, node: Node) -> TwoSlopes | None:
    slopes = work.value(node.inputs[1])
    if slopes is None or slopes.size == 0 or not np.all(slopes == slopes.flat[0]):
        return None
    return TwoSlopes(node.inputs[0], 1.0, float(slopes.flat[0]), (node,))


def _extreme(work: Workspace, node: Node) -> TwoSlopes | None:
    pair = common(work, *node.inputs)
    if pair is None or not (pair[0].is_line and pair[1].is_line):
        return None
    choose, refuse = (max, min) if node.op == "Max" else (min, max)
    slopes = pair[0].positive, pair[1].positive
    nodes = (node, *pair[0].nodes, *pair[1].nodes)
    return TwoSlopes(pair[0].source, choose(slopes), refuse(slopes), nodes)


def _sum(work: Workspace, node: Node) -> TwoSlopes | None:
    pair = common(work, *node.inputs)
    if pair is None or (pair[0].is_line and pair[1].is_line):
        return None
    first, second = pair
    sign = 1.0 if node.op == "Add" else -1.0
    positive = first.positive + sign * second.positive
    negative = first.negative + sign * second.negative
    return TwoSlopes(first.source, positive, negative, (node, *first.nodes, *second.nodes))


def _chosen(work: Workspace, node: Node) -> TwoSlopes | None:
    found = chosen_by_sign(work, node)
    if found is None:
        return None
    source, above, below = found
    positive, negative = _slope(work, above, source), _slope(work, below, source)
    if positive is None or negative is None:
        return None
    return TwoSlopes(source, positive, negative, (node,))


def _slope(work: Workspace, branch: Tensor, source: Tensor) -> float | None:
    """The slope of a line through 0, seen from `source`."""
    if work.scalar(branch) == 0.0 and keeps_shape(work, source, branch):
        return 0.0
    reads = (read for read in readings(work, branch) if read.source is source and read.is_line)
    return next((read.positive for read in reads), None)
