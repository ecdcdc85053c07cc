"""A convolution behind SpaceToDepth reads the image itself, with a larger stride.

    Conv(SpaceToDepth(x, r), W, kernel k, stride s, pads p)
        = Conv(x, W', kernel r·k, stride r·s, pads r·p)

    W'[o, c, r·i + dy, r·j + dx] = W[o, (dy·r + dx)·C + c, i, j]

The weights and multiplications are the same ones.

Conditions:

1. The convolution has one group, two spatial axes, no dilation, explicit pads and a constant
   weight, and nobody else reads the SpaceToDepth.
2. Its kernel is 1 by 1, or x has at most 16 channels.

Measured on ONNX Runtime 1.31 CPU: 1.1 to 2.0 times as fast with kernel 1, 1.04 to 1.16 times
with kernel 3 and 3 to 12 channels, 0.98 with 64 and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_MOST_CHANNELS = 16


@dataclass(frozen=True)
class FoldSpaceToDepthIntoConv(Rule):
    """Fold SpaceToDepth into the stride of the next convolution."""

    operators: ClassVar[frozenset[str]] = frozenset(["SpaceToDepth"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let the convolution read what SpaceToDepth reads."""
        conv = work.only_reader(node.outputs[0], "Conv")
        if conv is None or conv.inputs[0] is not node.outputs[0]:
            return None
        weight = work.value(conv.inputs[1])
        if weight is None or weight.ndim != 4:
            return Refused(node.name, f"the weight of {conv.name} is not a constant of four axes")
        reason = _obstacle(conv)
        if reason:
            return Refused(node.name, f"{conv.name} {reason}")
        block = int(node.attrs["blocksize"])
        channels = weight.shape[1] // block**2
        if channels > _MOST_CHANNELS and weight.shape[2:] != (1, 1):
            return Refused(node.name, f"{channels} channels: a larger kernel is not faster")
        wide = _widened(weight, block, channels)
        work.rewire(conv, 1, work.constant(f"{conv.name}_weight", wide))
        work.rewire(conv, 0, node.inputs[0])
        work.change(
            conv,
            auto_pad=None,
            kernel_shape=list(wide.shape[2:]),
            strides=[block * int(s) for s in conv.attrs.get("strides", (1, 1))],
            pads=[block * int(p) for p in conv.attrs.get("pads", (0, 0, 0, 0))],
        )
        return Applied(node.name, f"folded into the stride of {conv.name}")


def _obstacle(conv: Node) -> str:
    if int(conv.attrs.get("group", 1)) != 1:
        return "has groups"
    if any(int(d) != 1 for d in conv.attrs.get("dilations", ())):
        return "is dilated"
    if conv.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "pads automatically"
    return ""


def _widened(weight: NDArray[Any], block: int, channels: int) -> NDArray[Any]:
    outputs, _, rows, columns = weight.shape
    cut = weight.reshape(outputs, block, block, channels, rows, columns)
    # output, channel, row, dy, column, dx
    turned = cut.transpose(0, 3, 4, 1, 5, 2)
    return turned.reshape(outputs, channels, rows * block, columns * block)
