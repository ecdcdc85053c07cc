"""Shapes of what windows slide over: convolutions and pools, resizing, and space to depth."""

from __future__ import annotations

from onnxq.graph import Node
from onnxq.passes.dimensions.algebra import Dimension, extent, product
from onnxq.passes.dimensions.known import Dimensions, Known


def convolved(known: Known, node: Node) -> Dimensions | None:
    """Shape of a Conv's result."""
    weight = known.shape(node.inputs[1])
    found = _slid(known, node, weight[2:] if weight is not None else None)
    if found is None:
        return None
    return found[0], (weight[0] if weight is not None else None), *found[2:]


def pooled(known: Known, node: Node) -> Dimensions | None:
    """Shape of a pool's result."""
    return _slid(known, node, None)


def resized(known: Known, node: Node) -> Dimensions | None:
    """Shape of what Resize or Upsample returns, where its scales are whole numbers."""
    shape = known.shape(node.inputs[0])
    scales = known.value(known.input(node, 2 if node.op == "Resize" and known.opset > 10 else 1))
    plain = "axes" not in node.attrs and known.input(node, 3) is None
    if shape is None or scales is None or scales.size != len(shape) or not plain:
        return None
    return tuple(
        product([int(s), d]) if s == int(s) else None
        for s, d in zip(scales.reshape(-1).tolist(), shape, strict=True)
    )


def _slid(known: Known, node: Node, kernel: Dimensions | None) -> Dimensions | None:
    shape = known.shape(node.inputs[0])
    kernel = tuple(node.attrs.get("kernel_shape", ())) or kernel
    if shape is None or kernel is None or len(kernel) != len(shape) - 2:
        return None
    axes = len(kernel)
    strides = node.attrs.get("strides", [1] * axes)
    dilations = node.attrs.get("dilations", [1] * axes)
    pads = node.attrs.get("pads", [0] * 2 * axes)
    mode = str(node.attrs.get("auto_pad", "NOTSET"))
    ceil = int(node.attrs.get("ceil_mode", 0))
    spatial: list[Dimension] = []
    for axis in range(axes):
        reach = kernel[axis]
        total = _total(mode, pads[axis] + pads[axis + axes])
        if isinstance(reach, int):
            reach = (reach - 1) * dilations[axis]
        spatial.append(_steps(shape[axis + 2], reach, total, strides[axis], ceil))
    return shape[0], shape[1], *spatial


def _total(mode: str, pads: int) -> int | str:
    """Elements of padding on both sides together, or the mode that decides on them."""
    return {"NOTSET": pads, "VALID": 0}.get(mode, mode)


def _steps(
    length: Dimension, reach: Dimension, pads: int | str, stride: int, ceil: int
) -> Dimension:
    """How often a window that reaches so far beyond its first element fits."""
    if isinstance(length, int):
        return None
    if stride == 1 and (pads == reach or str(pads).startswith("SAME")):
        return length
    return extent("Slide", length, reach, pads, stride, ceil)
