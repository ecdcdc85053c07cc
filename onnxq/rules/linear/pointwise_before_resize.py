"""A 1 × 1 convolution of an enlarged map is computed before it is enlarged.

    W * resize(x) + b = resize(W * x + b)

Every mode of Resize takes weighted sums over positions, the same for all channels, with weights
that add up to 1; a 1 × 1 convolution takes sums over channels and adds b (ONNX Resize).

1. Resize or Upsample of spatial axes only, read by nobody but the convolution, which has no pads
   and stride 1. `tf_crop_and_resize` fills in values from nowhere and is left alone.
2. The map grows: there is less to multiply before.
3. Interpolation costs more per element than copying: in modes other than nearest the convolution
   must not add channels (linear, 4 → 64 channels: 0.78 times the speed).

Every application makes the number of multiplications smaller. Nearest is exact bit for bit,
linear and cubic up to the order of sums.

Measured on ONNX Runtime 1.31 CPU, enlarging 28 × 28 twice: nearest, 64 → 64 channels 2.8 times
faster, 4 → 64 1.35; linear, 64 → 32 4.9 and 64 → 64 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.linear.convolution import Convolution, read_convolution
from onnxq.rules.linear.reordering import put_behind
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Shape, Workspace


@dataclass(frozen=True)
class PointwiseBeforeResize(Rule):
    """Let a 1 × 1 Conv and the Resize or Upsample before it change places."""

    operators: ClassVar[frozenset[str]] = frozenset(["Conv"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Convolve first, enlarge then."""
        resize = work.producer(node.inputs[0], "Resize", "Upsample")
        if resize is None or work.only_reader(node.inputs[0]) is None:
            return None
        conv = read_convolution(work, node)
        if isinstance(conv, str) or conv.window.taps != 1:
            return None
        scales = _scales(work, resize, conv.window.rank + 2)
        reason = scales if isinstance(scales, str) else _obstacle(resize, conv, scales)
        if reason:
            return Refused(resize.name, f"stays before '{node.name}' (Conv): {reason}")
        moved = put_behind(work, resize, node, _convolved(work, resize, conv))
        _say_channels(work, moved, conv)
        return Applied(node.name, f"moved before '{resize.name}' ({resize.op})")


def _obstacle(resize: Node, conv: Convolution, scales: list[float]) -> str:
    if not conv.window.is_pointwise or any(s != 1 for s in conv.window.strides):
        return "it pads or skips positions"
    if resize.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return "it fills in values from outside"
    if scales[0] != 1 or scales[1] != 1:
        return "it resizes the batch or the channels too"
    if prod(scales) <= 1:
        return f"it makes the map {prod(scales):g} times as large"
    if resize.attrs.get("mode", "nearest") != "nearest" and conv.channels_out > conv.channels_in:
        return (
            f"there would be {conv.channels_out} instead of {conv.channels_in} channels to "
            "interpolate"
        )
    return ""


def _scales(work: Workspace, resize: Node, rank: int) -> list[float] | str:
    """How much longer each axis becomes."""
    before, after = work.shape(resize.inputs[0]), work.shape(resize.outputs[0])
    if work.input(resize, 3) is not None and work.value(work.input(resize, 3)) is None:
        return "its sizes are computed at run time"
    if before is not None and after is not None and len(before) == len(after) == rank:
        pairs = list(zip(before, after, strict=True))
        if all(isinstance(a, int) and isinstance(b, int) and a for a, b in pairs[1:]):
            return [1.0, *(int(b or 0) / int(a or 1) for a, b in pairs[1:])]
    return _given_scales(work, resize, rank)


def _given_scales(work: Workspace, resize: Node, rank: int) -> list[float] | str:
    given = resize.attrs.get("scales")
    index = 1 if resize.op == "Upsample" or work.opset < 11 else 2
    if given is None:
        given = work.value(work.input(resize, index))
    if given is None or not np.size(given):
        return "how much it enlarges is not known"
    axes = resize.attrs.get("axes", range(len(given)))
    scales = [1.0] * rank
    for axis, scale in zip(axes, given, strict=True):
        scales[axis] = float(scale)
    return scales


def _convolved(work: Workspace, resize: Node, conv: Convolution) -> Shape | None:
    """The shape of the map after the convolution alone."""
    shape = work.shape(resize.inputs[0])
    return None if shape is None else (shape[0], conv.channels_out, *shape[2:])


def _say_channels(work: Workspace, resize: Node, conv: Convolution) -> None:
    """Correct the number of channels where a Resize is told all sizes."""
    tensor: Tensor | None = work.input(resize, 3)
    sizes = work.value(tensor)
    if tensor is None or sizes is None or not sizes.size:
        return
    rank = conv.window.rank + 2
    axes = [int(axis) % rank for axis in resize.attrs.get("axes", range(sizes.size))]
    if 1 in axes:
        changed = np.array(sizes)
        changed[axes.index(1)] = conv.channels_out
        work.rewire(resize, 3, work.constant(f"{tensor.name}_channels", changed))
