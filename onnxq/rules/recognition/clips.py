"""Clips spelled otherwise, and clips one after another.

clip(x, l, h) = min(max(x, l), h) (ONNX Clip), and of two clips that overlap,

    clip(clip(x, l1, h1), l2, h2) = clip(x, max(l1, l2), min(h1, h2))

1. Max and Min with a scalar become Clip; Max with 0, and a Clip from 0 up, become Relu. ONNX
   Runtime takes Clip and Relu into the convolution before them, but not Max and Min (1.31).
2. Of a chain one is left, unless inner results are read elsewhere: who computes an inner result
   with the convolution before it would then compute it apart.
3. Clips that exclude each other (a constant result) are left alone.

Each application leaves fewer clips, or fewer that are not Clip or Relu.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import Bounds, bounds
from onnxq.rules.workspace import Workspace

_DEPTH = 6
_LIMITS_ARE_INPUTS = 11
_LARGEST = float(np.finfo(np.float32).max)
_OPERATORS = ("Clip", "Relu", "Min", "Max")


@dataclass(frozen=True)
class MergeClips(Rule):
    """Leave one Clip or Relu of a row of Clip, Relu, Min and Max."""

    operators: ClassVar[frozenset[str]] = frozenset(_OPERATORS)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the row of clips that ends here by one."""
        if node.op == "Relu" and work.producer(node.inputs[0], *_OPERATORS) is None:
            return None
        output = node.outputs[0]
        clip = own_bounds(work, output)
        dtype = work.dtype(clip.source)
        if not clip.nodes or _is_inner(work, node) or dtype is None or dtype.kind != "f":
            return None
        op = "Relu" if (clip.low, clip.high) == (0.0, inf) else "Clip"
        unbounded = (clip.low, clip.high) == (-inf, inf)
        if len(clip.nodes) == 1 and (node.op == op or unbounded):
            return None
        if op == "Clip" and work.opset < _LIMITS_ARE_INPUTS and dtype == np.float64:
            return Refused(node.name, "before operator set 11 the limits of Clip are float32")
        result = _relu_or_clip(work, clip, f"{node.name}_{op}", dtype)
        work.substitute(output, result)
        return Applied(node.name, f"became {op} of {_interval(clip)}")


def own_bounds(work: Workspace, tensor: Tensor) -> Bounds:
    """As `bounds`, but only through tensors that nobody else reads; limits of float32 are none."""
    read = Bounds(tensor)
    while len(read.nodes) < _DEPTH and _is_own(work, read):
        step = bounds(work, read.source, 1)
        if not step.nodes:
            break
        low, high = max(read.low, _limit(step.low)), min(read.high, _limit(step.high))
        if low > high:
            break
        read = Bounds(step.source, low, high, read.nodes + step.nodes)
    return read


def _is_own(work: Workspace, read: Bounds) -> bool:
    return not read.nodes or work.only_reader(read.source) is not None


def _limit(value: float) -> float:
    """A limit of Clip; the largest float32, which is its default in old operator sets, is none."""
    if abs(value) < _LARGEST:
        return value
    return inf if value > 0 else -inf


def _is_inner(work: Workspace, node: Node) -> bool:
    """Whether a later clip takes this one with it."""
    reader = work.only_reader(node.outputs[0], *_OPERATORS)
    return reader is not None and node in own_bounds(work, reader.outputs[0]).nodes


def _relu_or_clip(work: Workspace, clip: Bounds, name: str, dtype: np.dtype[np.generic]) -> Tensor:
    shape = work.shape(clip.source)
    if (clip.low, clip.high) == (0.0, inf):
        return work.add("Relu", [clip.source], name=name, shape=shape)
    given = [
        (key, None if abs(limit) == inf else limit)
        for key, limit in (("min", clip.low), ("max", clip.high))
    ]
    if work.opset < _LIMITS_ARE_INPUTS:
        return work.add("Clip", [clip.source], name=name, attrs=dict(given), shape=shape)
    limits: list[Tensor | None] = [
        None if limit is None else work.constant(f"{name}_{key}", np.asarray(limit, dtype))
        for key, limit in given
    ]
    kept = limits if limits[1] is not None else limits[:1]
    return work.add("Clip", [clip.source, *kept], name=name, shape=shape)


def _interval(clip: Bounds) -> str:
    low = "-∞" if clip.low == -inf else f"{clip.low:.4g}"
    high = "∞" if clip.high == inf else f"{clip.high:.4g}"
    return f"{low} to {high}"
