"""The vectors that a layer multiplies its weights by, taken from the tensor that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnxq.graph import Node

Array = NDArray[Any]
Padding: TypeAlias = tuple[tuple[int, int], ...] | Literal["SAME_UPPER", "SAME_LOWER"]


@dataclass(frozen=True)
class Vectors:
    """The last axis (MatMul, Gemm)."""

    groups: int = 1

    def rows(self, array: Array, most: int) -> Array:
        """At most so many vectors, evenly spread: [1, vector, term]."""
        flat = array.reshape(-1, array.shape[-1])
        return flat[_spread(len(flat), most)][np.newaxis]


@dataclass(frozen=True)
class Patches:
    """What a convolution sees at each position (ONNX Conv).

    Attributes:
        kernel: Size of the window along each spatial axis.
        strides: Its step.
        dilations: Distance of its elements.
        padding: Zeros before and after each axis, or by which rule they are added.
        groups: Groups of channels.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: Padding
    groups: int = 1

    def rows(self, array: Array, most: int) -> Array:
        """At most so many positions, evenly spread: [group, position, channel x window]."""
        extents = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        padded = np.pad(array, ((0, 0), (0, 0), *self._pads(array.shape[2:], extents)))
        axes = tuple(range(2, array.ndim))
        windows = sliding_window_view(padded, extents, axis=axes)
        steps = tuple(slice(None, None, s) for s in (*self.strides, *self.dilations))
        windows = windows[(slice(None), slice(None), *steps)]
        # Positions first: [sample, *position, channel, *window].
        windows = np.moveaxis(windows, 1, len(axes) + 1)
        positions = windows.shape[: len(axes) + 1]
        chosen = np.unravel_index(_spread(prod(positions), most), positions)
        taken = windows[chosen]
        return taken.reshape(len(taken), self.groups, -1).swapaxes(0, 1)

    def _pads(self, sizes: tuple[int, ...], extents: list[int]) -> tuple[tuple[int, int], ...]:
        if not isinstance(self.padding, str):
            return self.padding
        pads = []
        for size, extent, stride in zip(sizes, extents, self.strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            small = total // 2
            low = small if self.padding == "SAME_UPPER" else total - small
            pads.append((low, total - low))
        return tuple(pads)


Rows: TypeAlias = Vectors | Patches


def patches_of(node: Node, shape: tuple[int, ...]) -> Patches:
    """What a Conv with a weight of that shape sees at each position."""
    axes = len(shape) - 2
    automatic = node.attrs.get("auto_pad", "NOTSET")
    pads = list(node.attrs.get("pads", [0] * 2 * axes))
    if automatic == "VALID":
        pads = [0] * 2 * axes
    same = automatic in ("SAME_UPPER", "SAME_LOWER")
    return Patches(
        kernel=tuple(shape[2:]),
        strides=tuple(node.attrs.get("strides", [1] * axes)),
        dilations=tuple(node.attrs.get("dilations", [1] * axes)),
        padding=automatic if same else tuple(zip(pads[:axes], pads[axes:], strict=True)),
        groups=int(node.attrs.get("group", 1)),
    )


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """Indices of at most `most` of `count` things, evenly spread."""
    if count <= most:
        return np.arange(count)
    return np.arange(most) * count // most
