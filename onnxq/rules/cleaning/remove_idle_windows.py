"""Pools, reductions, resizes and clips that leave every element as it is are removed.

1. MaxPool and AveragePool with kernels and strides of 1 and no padding; GlobalAveragePool and
   GlobalMaxPool over a single position.
2. ReduceSum, -Mean, -Max, -Min and -Prod over axes of length 1 (the mean of one number is that
   number): removed if the axes are kept, else a Squeeze.
3. Resize and Upsample by 1. Not with tf_half_pixel_for_nn, which looks half an element aside,
   nor with tf_crop_and_resize, which looks at a region.
4. Clip without bounds, or with infinite ones.

Near misses: a pool whose indices are read, a Resize by 1 that looks aside or blurs, and a Clip at
the largest finite numbers, which infinities pass.

Caveat: an infinite element passes a Clip without bounds now; the operator's defaults are the
largest finite numbers. Definitions: ONNX operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import operand
from onnxq.rules.cleaning.bypass import Idle, bypass, only_first_is_read
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_ASIDE = frozenset(["tf_half_pixel_for_nn", "tf_crop_and_resize"])


@dataclass(frozen=True)
class RemoveIdleWindows(Rule):
    """Remove pools, reductions, resizes and clips that change nothing."""

    operators: ClassVar[frozenset[str]] = frozenset(
        [
            "AveragePool",
            "Clip",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "MaxPool",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "Resize",
            "Upsample",
        ]
    )

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read the node's input, or turn the reduction into a Squeeze."""
        idle = _IDLE.get(node.op, _reduces_nothing)(work, node)
        if isinstance(idle, str):
            return Refused(node.name, idle)
        if not idle:
            return None
        if not node.op.startswith("Reduce") or node.attrs.get("keepdims", 1):
            what = f"{node.op} that changes nothing was removed"
            return bypass(work, node, node.inputs[0], what)
        return _squeeze(work, node)


def _squeeze(work: Workspace, node: Node) -> Event | None:
    axes = operand(work, node, 1, "axes") or tuple(range(work.rank(node.inputs[0]) or 0))
    what = f"{node.op} over axes of length 1 became Squeeze"
    if work.opset < 13:
        work.change(node, "Squeeze", axes=list(axes), keepdims=None)
        return Applied(node.name, what)
    work.change(node, "Squeeze", axes=None, keepdims=None, noop_with_empty_axes=None)
    work.rewire(node, 1, work.constant(f"{node.name}_axes", np.asarray(axes, np.int64)))
    return Applied(node.name, what)


def _pool(work: Workspace, node: Node) -> Idle:
    ones = (*node.attrs.get("kernel_shape", [0]), *node.attrs.get("strides", ()))
    if any(node.attrs.get("pads", ())) or any(v != 1 for v in ones):
        return False
    return only_first_is_read(work, node) or "takes single elements, but its indices are read"


def _global_pool(work: Workspace, node: Node) -> bool:
    shape = work.shape(node.inputs[0])
    return shape is not None and len(shape) > 2 and all(d == 1 for d in shape[2:])


def _reduces_nothing(work: Workspace, node: Node) -> bool:
    shape, axes = work.shape(node.inputs[0]), operand(work, node, 1, "axes")
    if axes is None or shape is None:
        return False
    if not axes and node.attrs.get("noop_with_empty_axes", 0):
        # The axes are kept then, whatever keepdims says.
        return bool(node.attrs.get("keepdims", 1))
    return all(shape[a] == 1 for a in axes or range(len(shape)))


def _resize(work: Workspace, node: Node) -> Idle:
    if not _keeps_sizes(work, node):
        return False
    mode = node.attrs.get("coordinate_transformation_mode")
    if mode in _ASIDE:
        return f"keeps the sizes, but {mode} looks aside"
    return "keeps the sizes, but with antialias" if node.attrs.get("antialias") else True


def _keeps_sizes(work: Workspace, node: Node) -> bool:
    position = 2 if node.op == "Resize" and work.opset > 10 else 1
    scales = work.value(work.input(node, position))
    if scales is None and "scales" in node.attrs:
        scales = np.asarray(node.attrs["scales"], np.float32)
    if scales is not None and scales.size:
        return bool((scales == 1).all())
    sizes, shape = work.content(work.input(node, 3)), work.shape(node.inputs[0])
    axes = node.attrs.get("axes", range(len(shape or ())))
    if sizes is None or shape is None or len(sizes) != len(axes):
        return False
    return all(size == shape[a] and size is not None for size, a in zip(sizes, axes, strict=True))


def _clip(work: Workspace, node: Node) -> Idle:
    largest = 0.0
    for index, attribute, absent in ((1, "min", -inf), (2, "max", inf)):
        tensor = work.input(node, index)
        bound = node.attrs.get(attribute, absent) if tensor is None else work.scalar(tensor)
        if bound == absent:
            continue
        if bound is None or bound != np.copysign(np.finfo(np.float32).max, absent):
            return False
        largest = float(bound)
    return True if not largest else f"clips at {largest:.4g}: infinities lie beyond"


_IDLE: Mapping[str, Callable[[Workspace, Node], Idle]] = {
    "AveragePool": _pool,
    "Clip": _clip,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MaxPool": _pool,
    "Resize": _resize,
    "Upsample": _resize,
}
