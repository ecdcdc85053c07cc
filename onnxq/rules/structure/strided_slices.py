"""Every second row and column, four times, side by side: space-to-depth.

    Concat(x[:, :, dy::r, dx::r] for all dy, dx < r)        = SpaceToDepth(x, r), reordered
    Concat(x[:, dy::r, dx::r, :] for all dy, dx < r, last)  = Reshape, Transpose, Reshape

The first is the "Focus" layer of YOLOv5 and others, the second the patch merging of Swin.

Conditions:

1. x is float32 with four axes. All r·r phases of two axes are there, once each, from the same
   tensor, each slice going to the end of its axis, and are concatenated along the channels.
2. Channels first: the number of channels is known. The blocks may come in any order: a Gather
   reorders the channels unless it is that of SpaceToDepth, row by row.
3. Channels last: all sizes but the batch are known, and the blocks come row by row or column
   by column.

Measured on ONNX Runtime 1.31 CPU: channels first 2.6 to 3.0 times as fast, channels last 1.1
to 1.8 times.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.cleaning.merge_slices import Bounds, constant_bounds
from onnxq.rules.rule import Rule
from onnxq.rules.structure.depth_to_space import add_space_to_depth
from onnxq.rules.workspace import Workspace

_LARGEST_BLOCK = 4
_NO_END = 2**31 - 1


@dataclass(frozen=True)
class Phases:
    """A tensor cut into r·r phases of two axes.

    Attributes:
        source: The tensor.
        axes: The two axes, ascending.
        block: r.
        order: (dy, dx) of each phase.
    """

    source: Tensor
    axes: tuple[int, int]
    block: int
    order: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FuseStridedSlices(Rule):
    """Recognise space-to-depth written as slices and a Concat."""

    operators: ClassVar[frozenset[str]] = frozenset(["Concat"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace slices and Concat."""
        found = _phases(work, node)
        if found is None:
            return None
        axis = int(node.attrs["axis"]) % 4
        if work.dtype(found.source) != np.float32:
            return Refused(node.name, f"the input is {work.dtype(found.source)}, not float32")
        if (axis, found.axes) == (1, (2, 3)):
            result, what = _channels_first(work, node, found), "SpaceToDepth"
        elif (axis, found.axes) == (3, (1, 2)):
            result, what = _channels_last(work, node, found), "a Transpose of blocks"
        else:
            return Refused(node.name, f"phases of axes {found.axes} lie along axis {axis}")
        if result is None:
            return Refused(node.name, "sizes or order of the phases do not allow it")
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became {what}, with the slices before it")


def _channels_first(work: Workspace, node: Node, found: Phases) -> Tensor | None:
    channels = (work.shape(found.source) or (None, None))[1]
    if not isinstance(channels, int):
        return None
    blocks = [dy * found.block + dx for dy, dx in found.order]
    order = np.add.outer(np.array(blocks) * channels, np.arange(channels)).reshape(-1)
    name = f"{node.name}_blocks"
    return add_space_to_depth(work, found.source, found.block, order, name)


def _channels_last(work: Workspace, node: Node, found: Phases) -> Tensor | None:
    by_row = tuple(sorted(found.order))
    by_column = tuple(sorted(found.order, key=lambda phase: phase[::-1]))
    shape = work.shape(found.source) or ()
    _, height, width, channels = [s if isinstance(s, int) else None for s in shape]
    if height is None or width is None or channels is None or height % found.block:
        return None
    if width % found.block or found.order not in (by_row, by_column):
        return None
    r = found.block
    inner = (2, 4) if found.order == by_row else (4, 2)
    cut = np.array([0, height // r, r, width // r, r, channels])
    joined = np.array([0, height // r, width // r, r * r * channels])
    name = f"{node.name}_blocks"
    cut_shape = (shape[0], *cut[1:].tolist())
    joined_shape = (shape[0], *joined[1:].tolist())
    blocks = work.add(
        "Reshape",
        [found.source, work.constant(f"{name}_shape", cut)],
        name=name,
        shape=cut_shape,
    )
    perm = [0, 1, 3, *inner, 5]
    turned = work.add(
        "Transpose",
        [blocks],
        name=f"{name}_Transpose",
        attrs={"perm": perm},
        shape=tuple(cut_shape[axis] for axis in perm),
    )
    target = work.constant(f"{name}_joined_shape", joined)
    return work.add("Reshape", [turned, target], name=f"{name}_joined", shape=joined_shape)


def _phases(work: Workspace, node: Node) -> Phases | None:
    block = isqrt(len(node.inputs))
    if block < 2 or block > _LARGEST_BLOCK or block * block != len(node.inputs):
        return None
    taken = [_taken(work, tensor) for tensor in node.inputs]
    if any(found is None for found in taken):
        return None
    sources, steps = zip(*(found for found in taken if found is not None), strict=True)
    source = sources[0]
    shape = work.shape(source)
    axes = tuple(sorted(steps[0]))
    if any(t is not source for t in sources) or shape is None or len(shape) != 4:
        return None
    if len(axes) != 2 or any(tuple(sorted(found)) != axes for found in steps):
        return None
    for found in steps:
        for axis, (_, end, stride) in found.items():
            if stride != block or not _reaches_end(end, shape[axis]):
                return None
    order = tuple((found[axes[0]][0], found[axes[1]][0]) for found in steps)
    wanted = [(dy, dx) for dy in range(block) for dx in range(block)]
    if sorted(order) != wanted:
        return None
    return Phases(source, (axes[0], axes[1]), block, order)


def _taken(work: Workspace, tensor: Tensor) -> tuple[Tensor, Bounds] | None:
    """(the tensor, (start, end, step) by axis) behind one Slice or two of different axes."""
    taken: Bounds = {}
    for _ in range(2):
        node = work.producer(tensor, "Slice")
        found = None if node is None else constant_bounds(work, node)
        shape = None if node is None else work.shape(node.inputs[0])
        if node is None or found is None or shape is None:
            break
        # Exporters name untouched axes too.
        touched = {a: bounds for a, bounds in found.items() if not _takes_all(bounds, shape[a])}
        if set(touched) & set(taken):
            break
        taken.update(touched)
        tensor = node.inputs[0]
    return (tensor, taken) if len(taken) == 2 else None


def _takes_all(bounds: tuple[int, int, int], size: int | str | None) -> bool:
    start, end, step = bounds
    return (start, step) == (0, 1) and _reaches_end(end, size)


def _reaches_end(end: int, size: int | str | None) -> bool:
    return end >= (size if isinstance(size, int) else _NO_END)
