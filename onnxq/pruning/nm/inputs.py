"""The vectors that a layer multiplies its weight by, for its second moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Vectors, patches_of
from onnxq.graph import Node

Array = NDArray[Any]


class Rows(Protocol):
    """How vectors are taken from the tensor that a layer reads."""

    def rows(self, array: Array, most: int) -> Array:
        """At most so many vectors, evenly spread: [group, vector, term]."""
        ...


@dataclass(frozen=True)
class Positions:
    """The channels at each position, axis 1 (ConvTranspose).

    Each tap of the window spreads a sum over channels; where windows overlap, several add up,
    which is left out of account.
    """

    groups: int = 1

    def rows(self, array: Array, most: int) -> Array:
        """At most so many positions, evenly spread: [group, position, channel]."""
        flat = np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])
        count = len(flat)
        chosen = np.arange(count) if count <= most else np.arange(most) * count // most
        return flat[chosen].reshape(len(chosen), self.groups, -1).swapaxes(0, 1)


@dataclass(frozen=True)
class Columns:
    """The first axis of a matrix (Gemm with transA)."""

    def rows(self, array: Array, most: int) -> Array:
        """At most so many columns, evenly spread: [1, vector, term]."""
        return Vectors().rows(array.T, most)


def rows_of(node: Node, shape: tuple[int, ...]) -> Rows:
    """How vectors are taken from what a layer reads.

    Args:
        node: Conv, ConvTranspose, Gemm or MatMul.
        shape: Of its weight.
    """
    if node.op == "MatMul":
        return Vectors()
    if node.op == "Gemm":
        return Columns() if node.attrs.get("transA", 0) else Vectors()
    if node.op == "ConvTranspose":
        return Positions(int(node.attrs.get("group", 1)))
    return patches_of(node, shape)
