"""What is cut off a convolution's result is not computed in the first place.

Causal convolutions are exported as a Conv padded on both sides and a Slice that cuts the surplus
off. A window per stride less at an end is a stride less of padding there:

    Slice(Conv(x, pads=[b, e]), i : -j) = Conv(x, pads=[b - i·stride, e - j·stride])
    Slice(ConvTranspose(x, pads=[b, e]), i : -j) = ConvTranspose(x, pads=[b + i, e + j])

1. The Slice cuts spatial axes alone, in steps of 1, from i >= 0 to -j < 0 or to the end (or to
   a known position, if the length is known).
2. The pads are explicit, and of a Conv's there is enough to take away.
3. Nobody else reads the convolution.

Caveat: where the Slice would leave nothing, the convolution has no result at all now.

Definitions: ONNX Conv, ConvTranspose (where pads are cut off the result), Slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import ENDLESS
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.cleaning.merge_slices import constant_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class CropWindows(Rule):
    """Take a Slice of a convolution's result off its padding."""

    operators: ClassVar[frozenset[str]] = frozenset(["Slice"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Change the pads of the convolution before."""
        result = node.inputs[0]
        conv = work.producer(result, "Conv", "ConvTranspose")
        shape, bounds = work.shape(result), constant_bounds(work, node)
        if conv is None or work.only_reader(result) is None or shape is None or bounds is None:
            return None
        cuts = [_cut(shape[axis], found) for axis, found in bounds.items()]
        if min(bounds) < 2 or None in cuts:
            return None
        pads = _pads(conv, len(shape) - 2, dict(zip(bounds, cuts, strict=True)))
        if isinstance(pads, str):
            return Refused(node.name, pads)
        cropped = work.shape(node.outputs[0])
        event = bypass(work, node, result, f"was taken off the padding of {conv.name}")
        if isinstance(event, Applied):
            work.change(conv, pads=pads, auto_pad=None)
            work.set_type(conv.outputs[0], cropped)
        return event


def _cut(length: int | str | None, bounds: tuple[int, int, int]) -> tuple[int, int] | None:
    """Elements cut off both ends of an axis; None if they cannot be told."""
    start, end, step = bounds
    if step != 1 or start < 0:
        return None
    if isinstance(length, int):
        start, end, _ = slice(start, end).indices(length)
        return (start, length - end) if start < end else None
    if end >= ENDLESS:
        return start, 0
    return (start, -end) if end < 0 else None


def _pads(conv: Node, axes: int, cuts: dict[int, tuple[int, int] | None]) -> list[int] | str:
    """The pads that do without what is cut off, or why there are none."""
    if conv.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return f"the padding of {conv.name} is automatic"
    if "output_shape" in conv.attrs:
        return f"{conv.name} is told the shape of its result"
    pads = [int(p) for p in conv.attrs.get("pads", [0] * 2 * axes)]
    strides = conv.attrs.get("strides", [1] * axes)
    for axis, cut in cuts.items():
        for side, elements in enumerate(cut or ()):
            index = axis - 2 + side * axes
            pads[index] -= elements * strides[axis - 2] if conv.op == "Conv" else -elements
    if min(pads) < 0:
        return f"{conv.name} is padded by less than is cut off"
    return pads
