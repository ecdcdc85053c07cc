"""Where a convolution or a pool looks: kernel, strides, dilations and pads of each spatial axis.

Output position o of an axis reads the input positions o·stride - begin + tap·dilation, for tap
from 0 to kernel - 1; what lies outside is padding. There are

    (size + begin + end - (kernel - 1)·dilation - 1) // stride + 1

output positions (ONNX Conv, MaxPool). With auto_pad SAME_UPPER or SAME_LOWER there are
ceil(size / stride) of them; the pads that this takes are shared out evenly, and an odd one goes
to the end (UPPER) or the beginning (LOWER).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node
from onnxq.rules.workspace import Shape, Workspace

_SAME = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Window:
    """One entry per spatial axis in each field; pads are never negative."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def taps(self) -> int:
        """Number of input positions read for one output position."""
        return prod(self.kernel)

    @property
    def is_pointwise(self) -> bool:
        """Whether each output position reads one input position, and no padding."""
        return self.taps == 1 and not self.is_padded

    @property
    def is_padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.begins) or any(self.ends)

    @property
    def reach(self) -> tuple[int, ...]:
        """Distance from the first tap to the last."""
        return tuple((k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def slack(self) -> tuple[int, ...]:
        """Pads minus reach: how much larger than the input the output is at stride 1."""
        axes = zip(self.begins, self.ends, self.reach, strict=True)
        return tuple(begin + end - reach for begin, end, reach in axes)

    @property
    def attributes(self) -> dict[str, Any]:
        """The window as attributes of Conv."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.strides),
            "dilations": list(self.dilations),
            "pads": [*self.begins, *self.ends],
        }


def point(rank: int) -> Window:
    """The window that reads each position itself."""
    ones, zeros = (1,) * rank, (0,) * rank
    return Window(ones, ones, ones, zeros, zeros)


def read_window(work: Workspace, node: Node, kernel: Sequence[int]) -> Window | str:
    """The window of a Conv or a pool, or why it is not known."""
    rank = len(kernel)
    strides = tuple(node.attrs.get("strides", (1,) * rank))
    dilations = tuple(node.attrs.get("dilations", (1,) * rank))
    pads = tuple(node.attrs.get("pads", (0,) * (2 * rank)))
    mode = node.attrs.get("auto_pad", "NOTSET")
    if mode in _SAME:
        if node.op != "Conv" and any(dilation != 1 for dilation in dilations):
            return f"pads by {mode} with dilations, which engines count differently"
        solved = _same_pads(work.shape(node.inputs[0]), kernel, strides, dilations, mode)
        if solved is None:
            return f"pads by {mode}, and the input's size is free"
        pads = solved
    elif mode == "VALID":
        pads = (0,) * (2 * rank)
    if not len(strides) == len(dilations) == rank or len(pads) != 2 * rank or min(pads) < 0:
        return "its attributes do not fit its kernel"
    return Window(tuple(kernel), strides, dilations, pads[:rank], pads[rank:])


def _same_pads(
    shape: Shape | None,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    mode: str,
) -> tuple[int, ...] | None:
    sizes = (None,) * len(kernel) if shape is None else shape[2:]
    if len(sizes) != len(kernel):
        return None
    begins, ends = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (k - 1) * dilation
        if stride == 1 or reach == 0:
            total = reach
        elif isinstance(size, int):
            total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        else:
            return None
        less, more = total // 2, total - total // 2
        begins.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return (*begins, *ends)


def united(one: Window, other: Window, *, same_size: bool = False) -> Window | str:
    """The smallest window in which two windows on one input both have their place.

    Args:
        one: A window.
        other: Another.
        same_size: Whether the two are known to have outputs of one size.
    """
    if one.strides != other.strides:
        return f"strides {list(one.strides)} and {list(other.strides)} differ"
    if one.slack != other.slack and not same_size:
        return "the sizes of their outputs differ"
    columns: list[tuple[int, int, int, int, int]] = []
    for axis in range(one.rank):
        first, last = -max(one.begins[axis], other.begins[axis]), _last(one, other, axis)
        step = gcd(_step(one, axis), _step(other, axis), one.begins[axis] - other.begins[axis])
        step = step or 1
        slack = max(one.slack[axis], other.slack[axis])
        kernel = (last - first) // step + 1
        columns.append((kernel, one.strides[axis], step, -first, slack + last))
    return Window(*zip(*columns, strict=True))


def _last(one: Window, other: Window, axis: int) -> int:
    return max(w.reach[axis] - w.begins[axis] for w in (one, other))


def _step(window: Window, axis: int) -> int:
    """The distance of taps; 0, which divides into anything, where there is only one."""
    return window.dilations[axis] if window.kernel[axis] > 1 else 0


def spread(weight: NDArray[Any], window: Window, into: Window) -> NDArray[Any]:
    """A kernel [.., .., *taps] at its place among zeros in the larger window `into`."""
    place = [slice(None), slice(None)]
    for axis in range(window.rank):
        start = (into.begins[axis] - window.begins[axis]) // into.dilations[axis]
        step = max(_step(window, axis) // into.dilations[axis], 1)
        place.append(slice(start, start + (window.kernel[axis] - 1) * step + 1, step))
    wide = np.zeros((*weight.shape[:2], *into.kernel), weight.dtype)
    wide[tuple(place)] = weight
    return wide
