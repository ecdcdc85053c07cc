"""A weight as the matrices that multiply a layer's inputs.

MatMul, Gemm and convolutions all compute y = Mᵀ x, for one matrix M per group: its rows are the
terms of a sum, its columns the sums (output channels). Algorithms that look at inputs are written
once, for arrays [group, term, sum].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.granularity import PerBlock, PerChannel, PerTensor
from onnxq.quant.scheme import Scheme

Array = NDArray[Any]


@dataclass(frozen=True)
class Products:
    """Where the sums and terms of a weight lie.

    Attributes:
        sums_first: The first axis counts the sums and all others the terms (Conv, Gemm with
            transB); otherwise it is a matrix of terms × sums (MatMul, Gemm).
        groups: The sums are divided into so many groups of consecutive ones, each with terms of
            its own; more than one only with `sums_first`.
    """

    sums_first: bool = False
    groups: int = 1

    def matrices(self, array: Array) -> Array:
        """The array as [group, term, sum], a view where possible."""
        if not self.sums_first:
            return array[np.newaxis]
        sums = array.shape[0] // self.groups
        return array.reshape(self.groups, sums, -1).swapaxes(1, 2)

    def array(self, matrices: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `matrices`, contiguous."""
        if self.sums_first:
            matrices = matrices.swapaxes(1, 2)
        return np.asarray(matrices.reshape(shape), order="C")

    def parameter_matrices(self, parameter: Array) -> Array:
        """A scale or zero point as [group, block of terms, sum], or [1, 1, 1] per tensor.

        Its scheme must be one that `objection` has nothing against.
        """
        if parameter.ndim == 0:
            return parameter.reshape(1, 1, 1)
        if parameter.ndim == 1 and not self.sums_first:
            return parameter.reshape(1, 1, -1)
        return self.matrices(parameter)

    def objection(self, scheme: Scheme, rank: int) -> str:
        """Why a weight's scales are not one per sum, or per block of its terms; mostly nothing."""
        sums = 0 if self.sums_first else 1
        match scheme.granularity:
            case PerChannel(axis) if axis % rank != sums:
                return f"it has one scale per index of axis {axis}, along which terms lie"
            case PerBlock(axis, _) if rank > 2 or axis % rank == sums:
                return "its blocks do not consist of consecutive terms of one sum"
            case PerTensor() | PerChannel() | PerBlock():
                return ""
