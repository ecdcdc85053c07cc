"""A weight as the matrices that multiply a layer's inputs, blocks of input channels together.

Blocks lie along the input channels, at each position of a window by itself: Conv axis 1,
ConvTranspose axis 0, MatMul axis 0, Gemm axis 0, with transB axis 1. That is where NVIDIA's
engines and cuSPARSELt want them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node
from onnxq.quant import Pattern

Array = NDArray[Any]
Order = NDArray[np.intp]

_SUMS_FIRST = frozenset({"Conv", "QLinearConv", "ConvInteger"})


@dataclass(frozen=True)
class Layout:
    """Where the sums and terms of a weight lie.

    Attributes:
        sums_first: The first axis counts the sums, the second the input channels; otherwise the
            first axis counts the input channels, and all others the sums.
        groups: The first axis is divided into so many groups with inputs of their own.
        positions: Terms of each input channel in a sum: those of a window, with `sums_first`.
    """

    sums_first: bool
    groups: int = 1
    positions: int = 1

    @classmethod
    def of(cls, node: Node, shape: tuple[int, ...]) -> Layout:
        """The layout of a node's weight of that shape, by the operator's definition."""
        groups = int(node.attrs.get("group", 1))
        if node.op in _SUMS_FIRST:
            return cls(sums_first=True, groups=groups, positions=prod(shape[2:]))
        if node.op == "Gemm" and node.attrs.get("transB", 0):
            return cls(sums_first=True)
        return cls(sums_first=False, groups=groups)

    @property
    def axis(self) -> int:
        """The axis of the input channels."""
        return int(self.sums_first)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Input channels that one sum runs over."""
        return shape[1] if self.sums_first else shape[0] // self.groups

    def matrices(self, array: Array) -> Array:
        """The array as [group, term, sum], terms in the order of the layer's input vectors."""
        parts = array.reshape(self.groups, array.shape[0] // self.groups, -1)
        return parts.swapaxes(1, 2) if self.sums_first else parts

    def array(self, matrices: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `matrices`, contiguous."""
        if self.sums_first:
            matrices = matrices.swapaxes(1, 2)
        return np.ascontiguousarray(matrices.reshape(shape))

    def order(self, pattern: Pattern, shape: tuple[int, ...]) -> Order:
        """The terms so that every M consecutive ones are a block.

        Args:
            pattern: Whose M divides the input channels.
            shape: Of the weight.
        """
        blocks = self.channels(shape) // pattern.block
        places = np.arange(blocks * pattern.block * self.positions)
        return places.reshape(blocks, pattern.block, self.positions).swapaxes(1, 2).reshape(-1)
