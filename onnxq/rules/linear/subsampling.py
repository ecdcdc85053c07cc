"""Which positions of its input's spatial axes a Slice or a pool of one position keeps."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.graph import Node
from onnxq.rules.workspace import Workspace

_ENDLESS = 2**31 - 1
"""From here on, the end of a Slice means that of the axis (ONNX Slice, for INT_MAX)."""


@dataclass(frozen=True)
class Kept:
    """Per spatial axis.

    Attributes:
        starts: How many positions are left out at the beginning.
        drops: How many are left out at the end, before steps are taken.
        steps: Every how manieth position is kept.
    """

    starts: tuple[int, ...]
    drops: tuple[int, ...]
    steps: tuple[int, ...]


def read_kept(work: Workspace, node: Node, rank: int) -> Kept | str | None:
    """Read a Slice, MaxPool or AveragePool over `rank` spatial axes.

    Returns:
        None for a pool that looks at more than one position.
    """
    return _sliced(work, node, rank) if node.op == "Slice" else _pooled(node, rank)


def _pooled(node: Node, rank: int) -> Kept | str | None:
    attributes = node.attrs
    if any(size != 1 for size in attributes.get("kernel_shape", (0,))):
        return None
    if any(attributes.get("pads", ())) or any(tensor.name for tensor in node.outputs[1:]):
        return None
    if attributes.get("ceil_mode", 0):
        return "rounds its size up"
    strides = tuple(attributes.get("strides", (1,) * rank))
    return Kept((0,) * rank, (0,) * rank, strides) if len(strides) == rank else None


def _sliced(work: Workspace, node: Node, rank: int) -> Kept | str:
    fields: list[list[int]] = []
    for index, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        found = _integers(work, node, index, name)
        if found is None:
            return "its bounds are computed at run time"
        fields.append(found)
    starts, ends, axes, steps = fields
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    shape = work.shape(node.inputs[0]) or (None,) * (rank + 2)
    kept = dict.fromkeys(range(rank + 2), (0, 0, 1))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        bounds = _counted(start, end, step, shape[axis])
        if isinstance(bounds, str):
            return bounds
        kept[axis % (rank + 2)] = bounds
    if kept[0] != (0, 0, 1) or kept[1] != (0, 0, 1):
        return "it cuts the batch or the channels too"
    return Kept(*zip(*(kept[axis] for axis in range(2, rank + 2)), strict=True))


def _integers(work: Workspace, node: Node, index: int, name: str) -> list[int] | None:
    """A list that is an attribute in operator sets below 10 and an input since; [] if absent."""
    tensor = work.input(node, index)
    if tensor is None:
        return list(node.attrs.get(name, ()))
    value = work.value(tensor)
    return None if value is None else [int(v) for v in value.reshape(-1)]


def _counted(start: int, end: int, step: int, size: int | str | None) -> tuple[int, int, int] | str:
    """(positions left out at the beginning, at the end, step) of one axis of a Slice."""
    if step < 1:
        return "it goes backwards"
    if isinstance(size, int):
        first, last, _ = slice(start, end, step).indices(size)
        return "nothing is kept" if first >= last else (first, size - last, step)
    if start < 0 or 0 <= end < _ENDLESS:
        return "the size of the axis is free"
    return start, max(-end, 0), step
