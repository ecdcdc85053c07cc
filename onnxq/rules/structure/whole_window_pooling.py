"""Pooling with a window as large as its input is global pooling.

    AveragePool(x, kernel = size of x) = GlobalAveragePool(x)      and the same for MaxPool

Conditions: the spatial sizes of x are known and equal the kernel, nothing is padded or dilated,
and the maxima's positions are not asked for. Windows that cover some axes, while other sizes are
free, are near misses.

Measured on ONNX Runtime 1.31 CPU: equally fast in float32; in int8 GlobalAveragePool runs in
half the time of float32, where AveragePool takes longer than in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.structure.reductions import sizes
from onnxq.rules.workspace import Shape, Workspace

_POOLINGS = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}


@dataclass(frozen=True)
class FuseWholeWindowPooling(Rule):
    """Recognise pooling over everything."""

    operators: ClassVar[frozenset[str]] = frozenset(_POOLINGS)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a pooling whose window covers its input."""
        kernel = tuple(int(size) for size in node.attrs.get("kernel_shape", ()))
        axes = range(2, len(kernel) + 2)
        shape = work.shape(node.inputs[0])
        if not kernel or shape is None or len(shape) != len(kernel) + 2:
            return None
        reason = _obstacle(node) if sizes(shape, axes) == kernel else _free(shape[2:], kernel)
        if reason is None or reason:
            return Refused(node.name, reason) if reason else None
        op = _POOLINGS[node.op]
        pooled = (*shape[:2], *[1] * len(kernel))
        result = work.add(op, [node.inputs[0]], name=f"{node.name}_{op}", shape=pooled)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became {op}: its window covers the input")


def _free(shape: Shape, kernel: Sequence[int]) -> str | None:
    """Why a window is not known to cover an image; None where it certainly does not."""
    pairs = list(zip(shape, kernel, strict=True))
    free = [axis for axis, size in enumerate(shape, 2) if not isinstance(size, int)]
    if any(isinstance(size, int) and size != length for size, length in pairs):
        return None
    covers = any(size == length > 1 for size, length in pairs)
    return (
        f"its window is {list(kernel)}, and the sizes of axes {free} are free" if covers else None
    )


def _obstacle(node: Node) -> str:
    """Why a window over all of an image is no global pooling; empty if it is."""
    attrs = node.attrs
    pads, dilations = list(attrs.get("pads", ())), list(attrs.get("dilations", ()))
    automatic = attrs.get("auto_pad", "NOTSET")
    if any(pads) or automatic not in ("NOTSET", "VALID"):
        return f"pads by {pads if any(pads) else automatic}"
    if any(d != 1 for d in dilations):
        return f"its window is dilated by {dilations}"
    return "its indices are a result, too" if any(t.name for t in node.outputs[1:]) else ""
