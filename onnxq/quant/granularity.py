"""How many scales a tensor has: one, one per channel, or one per block along an axis.

Every granularity answers the same questions, so that the arithmetic is written once:
which shape its parameters have, how to view an array so that they broadcast over it
(`group`, `align`), which axes of that view share a parameter (`shared_axes`), and how
to undo the view (`ungroup`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError

Shape = tuple[int, ...]
Array = NDArray[Any]


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole tensor; the parameters are 0-d."""

    def parameter_shape(self, shape: Shape) -> Shape:
        """Shape of scale and zero point for an array of this shape."""
        return ()

    def group(self, array: Array) -> Array:
        """View of the array over which aligned parameters broadcast."""
        return array

    def align(self, parameter: Array, rank: int) -> Array:
        """View of a parameter that broadcasts over the grouped array of that rank."""
        return parameter

    def shared_axes(self, rank: int) -> tuple[int, ...]:
        """Axes of the grouped array along which one parameter is shared."""
        return tuple(range(rank))

    def ungroup(self, array: Array, shape: Shape) -> Array:
        """The grouped array back in its original shape."""
        return array


@dataclass(frozen=True)
class PerChannel:
    """One scale per index of an axis; the parameters are 1-D.

    Attributes:
        axis: The channel axis; negative counts from the end.
    """

    axis: int

    def parameter_shape(self, shape: Shape) -> Shape:
        """Shape of scale and zero point for an array of this shape."""
        return (shape[_axis(self.axis, len(shape))],)

    def group(self, array: Array) -> Array:
        """View of the array over which aligned parameters broadcast."""
        return array

    def align(self, parameter: Array, rank: int) -> Array:
        """View of a parameter that broadcasts over the grouped array of that rank."""
        sizes = [1] * rank
        sizes[_axis(self.axis, rank)] = -1
        return parameter.reshape(sizes)

    def shared_axes(self, rank: int) -> tuple[int, ...]:
        """Axes of the grouped array along which one parameter is shared."""
        channel = _axis(self.axis, rank)
        return tuple(axis for axis in range(rank) if axis != channel)

    def ungroup(self, array: Array, shape: Shape) -> Array:
        """The grouped array back in its original shape."""
        return array


@dataclass(frozen=True)
class PerBlock:
    """One scale per run of ``size`` elements along an axis (ONNX ``block_size``, opset 21).

    The parameters have the array's rank, with the blocked axis divided by ``size`` and
    rounded up: the last block may be shorter.

    Attributes:
        axis: The blocked axis; negative counts from the end.
        size: Elements per block, at least 1.

    Raises:
        UsageError: The size is below 1.
    """

    axis: int
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(
                f"a block of {self.size} elements is not possible", remedy="use a size of 1 or more"
            )

    def parameter_shape(self, shape: Shape) -> Shape:
        """Shape of scale and zero point for an array of this shape."""
        axis = _axis(self.axis, len(shape))
        return (*shape[:axis], -(-shape[axis] // self.size), *shape[axis + 1 :])

    def group(self, array: Array) -> Array:
        """View of the array over which aligned parameters broadcast.

        A short last block is filled with zeros, which costs one copy of the array; zero
        is in every range and has no rounding error, so the fill changes no statistic.
        """
        axis = _axis(self.axis, array.ndim)
        missing = -array.shape[axis] % self.size
        if missing:
            fill = [(0, missing if index == axis else 0) for index in range(array.ndim)]
            array = np.pad(array, fill)
        blocks = array.shape[axis] // self.size
        return array.reshape(*array.shape[:axis], blocks, self.size, *array.shape[axis + 1 :])

    def align(self, parameter: Array, rank: int) -> Array:
        """View of a parameter that broadcasts over the grouped array of that rank."""
        return np.expand_dims(parameter, _axis(self.axis, rank - 1) + 1)

    def shared_axes(self, rank: int) -> tuple[int, ...]:
        """Axes of the grouped array along which one parameter is shared."""
        return (_axis(self.axis, rank - 1) + 1,)

    def ungroup(self, array: Array, shape: Shape) -> Array:
        """The grouped array back in its original shape; a copy only where blocks were filled."""
        axis = _axis(self.axis, len(shape))
        length = array.shape[axis] * array.shape[axis + 1]
        flat = array.reshape(*shape[:axis], length, *shape[axis + 1 :])
        if flat.shape == shape:
            return flat
        return np.ascontiguousarray(flat[(slice(None),) * axis + (slice(shape[axis]),)])


Granularity = PerTensor | PerChannel | PerBlock


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise UsageError(
            f"axis {axis} does not exist in a tensor of rank {rank}",
            why="the granularity names a channel or block axis",
            remedy="name an axis the tensor has, or quantize it per tensor",
        )
    return axis % rank
