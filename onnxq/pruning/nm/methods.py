"""How it is decided which weights stay: by magnitude, by Wanda's score, or as SparseGPT does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.pruning.nm.layout import Layout
from onnxq.pruning.nm.reconstruct import damped, reconstruct, refit
from onnxq.quant import Pattern

Array = NDArray[Any]


@dataclass(frozen=True)
class Magnitude:
    """The largest |W| of every block stay as they are. Needs no samples."""


@dataclass(frozen=True)
class Wanda:
    """The largest |W| · ‖X‖ of every block stay as they are (Sun et al. 2023, arXiv:2306.11695).

    ‖X‖ is the norm of the input that the weight multiplies, over samples.
    """


@dataclass(frozen=True)
class SparseGPT:
    """The weights that stay make up for those that go, on samples (see `reconstruct`).

    Attributes:
        damping: Share of the mean diagonal of the inputs' second moment that is added to it.
        sweeps: Rounds in which the weights that stay are fitted once more.
    """

    damping: float = 0.01
    sweeps: int = 8


Method: TypeAlias = Magnitude | Wanda | SparseGPT


@dataclass(frozen=True, eq=False)
class Sparse:
    """A weight that follows a pattern.

    Attributes:
        weight: In the layout and type of the dense one.
        error: Squared error of the layer's outputs on the samples, relative to their square; of
            the weights themselves where no samples were looked at.
    """

    weight: Array
    error: float


def sparsify_weight(
    weight: Array,
    layout: Layout,
    pattern: Pattern,
    method: Method,
    moment: NDArray[np.floating] | None = None,
) -> Sparse:
    """Bring a weight into a pattern.

    Args:
        weight: A float weight.
        layout: How its layer uses it.
        pattern: N:M; M divides the input channels of a sum.
        method: How.
        moment: Σ x xᵀ over inputs x of the layer, [group, term, term], of any scale. Without it
            all inputs count the same: every method is then that by magnitude.
    """
    order = layout.order(pattern, weight.shape)
    dense = layout.matrices(np.asarray(weight, np.float32))[:, order]
    blind = moment is None or not np.trace(moment, axis1=1, axis2=2).any()
    if moment is None or blind:
        found, mask = dense, pattern.strongest(np.abs(dense))
        gone = np.where(mask, 0, dense)
        error = _squares(gone) / _positive(_squares(dense))
    else:
        moment = np.asarray(moment[:, order[:, np.newaxis], order], np.float32)
        found, mask = _pruned(dense, pattern, method, moment)
        gone = dense - np.where(mask, found, 0)
        error = _quadratic(gone, moment) / _positive(_quadratic(dense, moment))
    kept = _plain(mask, order, layout, weight.shape)
    values = weight if found is dense else _plain(found, order, layout, weight.shape)
    return Sparse(np.where(kept, values, 0).astype(weight.dtype), error)


def _pruned(
    dense: Array, pattern: Pattern, method: Method, moment: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """New weights and where they stay; the dense array itself where none changes."""
    match method:
        case Magnitude():
            return dense, pattern.strongest(np.abs(dense))
        case Wanda():
            norms = np.sqrt(np.diagonal(moment, axis1=1, axis2=2))[:, :, np.newaxis]
            return dense, pattern.strongest(np.abs(dense) * norms)
        case SparseGPT(damping, sweeps):
            start, mask = reconstruct(dense, moment, pattern, damping)
            return refit(start, dense, mask, damped(moment, damping), sweeps), mask


def _quadratic(weights: Array, moment: Array) -> float:
    return float(np.sum((moment @ weights) * weights, dtype=np.float64))


def _squares(weights: Array) -> float:
    return float(np.square(weights, dtype=np.float64).sum())


def _positive(value: float) -> float:
    return max(value, np.finfo(np.float64).tiny)


def _plain(matrices: Array, order: Array, layout: Layout, shape: tuple[int, ...]) -> Array:
    """Matrices whose terms are in blocks, as an array of the weight's layout."""
    plain = np.empty_like(matrices)
    plain[:, order] = matrices
    return layout.array(plain, shape)
