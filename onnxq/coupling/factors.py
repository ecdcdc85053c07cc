"""What a tensor's elements belong to: factors, each an array of labels broadcast to the tensor.

An element goes when any of its factors' labels goes. An array has the tensor's rank, with
length 1 on axes on which it does not depend. Beside each label stands the value that the
element has when its channel is masked: zero, another number, or NaN where it depends on inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling.labels import LabelArray

Axes: TypeAlias = tuple[int, ...]
DeadArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """Where in the constants a factor comes from.

    Attributes:
        constant: Name of the constant.
        axis: Its axis.
        zero_point: Name of the constant that says which stored number means zero; empty for 0.
        direct: Whether the tensor is the constant itself.
    """

    constant: str
    axis: int
    zero_point: str = ""
    direct: bool = True


@dataclass(frozen=True, eq=False)
class Factor:
    """One array of labels.

    Attributes:
        labels: Labels, to be broadcast to the tensor.
        dead: Values of masked elements, of the same shape.
        sources: The constants it stands for; empty for what is computed from inputs.
    """

    labels: LabelArray
    dead: DeadArray
    sources: tuple[Source, ...] = ()

    @property
    def axes(self) -> Axes:
        """Axes on which the labels depend."""
        return varying(self.labels)

    def moved(self, move: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """The factor after its elements were moved."""
        sources = tuple(replace(s, direct=False) for s in self.sources)
        return Factor(move(self.labels), move(self.dead), sources)

    def with_dead(self, dead: DeadArray | float) -> Factor:
        """The same labels with other values of masked elements."""
        return replace(self, dead=np.broadcast_to(np.asarray(dead, np.float64), self.labels.shape))


Factors: TypeAlias = tuple[Factor, ...]


def varying(array: NDArray[Any]) -> Axes:
    """Axes of a length other than 1."""
    return tuple(axis for axis, length in enumerate(array.shape) if length != 1)


def along(values: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    """A vector as an array of `rank` axes."""
    return values.reshape([-1 if i == axis else 1 for i in range(rank)])


def zeros(labels: LabelArray, sources: tuple[Source, ...] = ()) -> Factor:
    """A factor whose masked elements are zero."""
    return Factor(labels, np.zeros(labels.shape), sources)


def with_rank(array: NDArray[Any], rank: int) -> NDArray[Any]:
    """An array with axes of length 1 put before its own."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def squeezed(array: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two arrays of one shape without the axes on which neither depends."""
    for axis in varying(array):
        first, second = array.take([0], axis), other.take([0], axis)
        if (first == array).all() and np.array_equal(
            np.broadcast_to(second, other.shape), other, equal_nan=True
        ):
            array, other = first, second
    return array, other


def regrouped(before: Sequence[int], after: Sequence[int]) -> list[tuple[Axes, Axes]] | None:
    """How Reshape parts the axes: the smallest runs of axes with equal products.

    Returns:
        Pairs of axes before and after, in order; None if the sizes do not fit.
    """
    blocks: list[tuple[Axes, Axes]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        first, second = i, j
        left = right = 1
        while True:
            if left == right and i > first and j > second:
                break
            if left <= right and i < len(before):
                left *= before[i]
                i += 1
            elif j < len(after):
                right *= after[j]
                j += 1
            elif i < len(before):
                left *= before[i]
                i += 1
            else:
                break
        if left != right:
            return None
        blocks.append((tuple(range(first, i)), tuple(range(second, j))))
    return blocks


def reshaped(
    factor: Factor, before: Sequence[int], after: Sequence[int], largest: int
) -> Factor | None:
    """A factor after Reshape; None if the sizes do not fit or the array grows too large."""
    blocks = regrouped(before, after)
    if blocks is None:
        return None
    touched = set(factor.axes)
    wide = [1] * len(before)
    result = [1] * len(after)
    for old, new in blocks:
        if touched.intersection(old):
            for axis in old:
                wide[axis] = before[axis]
            for axis in new:
                result[axis] = after[axis]
    if int(np.prod(wide, dtype=np.int64)) > largest:
        return None
    found = factor.moved(lambda array: np.broadcast_to(array, wide).reshape(result))
    labels, dead = squeezed(found.labels, found.dead)
    return Factor(labels, dead, found.sources)
