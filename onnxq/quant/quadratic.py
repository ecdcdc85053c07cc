"""The error that rounding a weight causes in a layer's outputs, as a quadratic form.

With x the inputs of a sum, w its weights and ŵ the rounded ones, and H = Σ x xᵀ over samples:

    Σ (wᵀx - ŵᵀx)² = (w - ŵ)ᵀ H (w - ŵ)

so that sample inputs are needed only through their second moment H (Nagel et al. 2020,
arXiv:2004.10568, section 3.2; Frantar et al. 2022, arXiv:2210.17323, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError
from onnxq.quant.arithmetic import to_storage
from onnxq.quant.codes import Codes
from onnxq.quant.granularity import PerBlock
from onnxq.quant.products import Products
from onnxq.quant.qparams import QParams
from onnxq.quant.scheme import Scheme

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """The values that the weights of some matrices may take: scale * (code - zero point).

    Attributes:
        scheme: Gives the codes that are allowed.
        scale: float32 [group, block, sum], or sizes of 1 where it is shared.
        zero_point: Likewise, as float32 numbers.
        terms: Rows of the matrices.
    """

    scheme: Scheme
    scale: Float32
    zero_point: Float32
    terms: int

    @property
    def block(self) -> int:
        """Consecutive terms that share a scale."""
        granularity = self.scheme.granularity
        return granularity.size if isinstance(granularity, PerBlock) else self.terms

    def spread(self, parameter: Float32) -> Float32:
        """A scale or zero point for every term: [group, term, sum], sizes of 1 where shared."""
        return np.repeat(parameter, self.block, axis=1)[:, : self.terms]

    def nearest(self, weights: Float32) -> Float32:
        """The codes nearest to the weights, as float32 numbers."""
        codes = np.rint(weights / self.spread(self.scale)) + self.spread(self.zero_point)
        return np.asarray(np.clip(codes, self.scheme.minimum, self.scheme.maximum), np.float32)

    def values(self, codes: Float32) -> Float32:
        """What codes stand for."""
        return (codes - self.spread(self.zero_point)) * self.spread(self.scale)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Weights to be rounded, and what their errors cost.

    Attributes:
        weights: float32 [group, term, sum].
        moment: float32 [group, term, term], the second moment H of the inputs.
        held: bool [group, term, sum], where weights are zero and must stay so; None: nowhere.
    """

    weights: Float32
    moment: Float32
    held: NDArray[np.bool_] | None = None

    def errors(self, values: Float32) -> Float64:
        """(w - ŵ)ᵀ H (w - ŵ) of every sum: [group, sum]."""
        difference = self.weights - values
        products = self.moment @ difference
        products *= difference
        return np.asarray(products.sum(axis=1, dtype=np.float64))

    def damped(self, share: float) -> Quadratic:
        """With `share` of the mean diagonal added to the diagonal, for every group.

        That makes H invertible where samples are few, and says that inputs not seen yet may
        differ from those seen (Frantar et al. 2022, section 3.3).
        """
        terms = self.moment.shape[-1]
        mean = np.trace(self.moment, axis1=1, axis2=2, dtype=np.float64) / terms
        extra = (share * mean)[:, np.newaxis, np.newaxis] * np.eye(terms)
        return replace(self, moment=(self.moment + extra).astype(np.float32))


def grid_of(parameters: QParams, products: Products, shape: tuple[int, ...]) -> Grid:
    """The grid that the parameters of a weight of that shape describe.

    Raises:
        UsageError: `products` objects to their granularity.
    """
    why = products.objection(parameters.scheme, len(shape))
    if why:
        raise UsageError("a weight's scales do not follow its sums", why=why)
    terms = int(np.prod(shape[1:])) if products.sums_first else shape[0]
    scale = products.parameter_matrices(parameters.scale)
    zero_point = products.parameter_matrices(_as_float(parameters.zero_point))
    return Grid(parameters.scheme, scale, zero_point, terms)


def stored(codes: Float32, grid: Grid, products: Products, shape: tuple[int, ...]) -> Codes:
    """Codes [group, term, sum] and their grid in the layout of the weight."""
    scheme = grid.scheme
    expected = scheme.granularity.parameter_shape(shape)
    scale = products.array(grid.scale, expected)
    zero_point = to_storage(products.array(grid.zero_point, expected), scheme)
    return Codes(
        products.array(to_storage(codes, scheme), shape), QParams(scheme, scale, zero_point)
    )


def _as_float(codes: NDArray[Any]) -> Float32:
    integers = codes if np.issubdtype(codes.dtype, np.integer) else codes.astype(np.int8)
    return integers.astype(np.float32)
