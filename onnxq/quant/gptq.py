"""GPTQ: round term after term, and let the terms left make up for the error.

For H = Σ x xᵀ, the rounding error e of term i is compensated best, in the sum of squared output
errors, by adding -e · (H⁻¹)_ij / (H⁻¹)_ii to every term j that is still to be rounded; H⁻¹ is
then that of the terms left. All rows needed are those of the upper Cholesky factor U of
H⁻¹ = Uᵀ U (Frantar et al. 2022, arXiv:2210.17323, equation 2 and section 3.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.quadratic import Grid, Quadratic

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_TOGETHER = 64
"""Terms whose errors are gathered before all later terms are corrected, in one product."""

_SMALL = 64
"""Triangles up to this size are inverted as they are."""


def gptq(problem: Quadratic, grid: Grid) -> Float32:
    """Codes [group, term, sum] as float32 numbers.

    Terms with large inputs are rounded first, while there are others left to make up for them.

    Args:
        problem: The weights, and a moment that is positive definite: see `Quadratic.damped`.
        grid: The values allowed.

    Raises:
        numpy.linalg.LinAlgError: The moment is not positive definite.
    """
    moment = problem.moment
    order = np.argsort(-np.diagonal(moment, axis1=1, axis2=2), axis=1, kind="stable")
    ordered = np.take_along_axis(moment, order[:, :, np.newaxis], 1)
    ordered = np.take_along_axis(ordered, order[:, np.newaxis, :], 2)
    factor = inverse_factor(ordered).astype(np.float32)
    rows = order[:, :, np.newaxis]
    weights = np.take_along_axis(problem.weights, rows, 1)
    scale = np.take_along_axis(grid.spread(grid.scale), rows, 1)
    zero_point = np.take_along_axis(grid.spread(grid.zero_point), rows, 1)
    held = None if problem.held is None else np.take_along_axis(problem.held, rows, 1)
    codes = np.empty_like(weights)
    _round_in_order(
        weights, scale, zero_point, factor, (grid.scheme.minimum, grid.scheme.maximum), held, codes
    )
    back = np.empty_like(codes)
    np.put_along_axis(back, rows, codes, 1)
    return back


def _round_in_order(
    weights: Float32,
    scale: Float32,
    zero_point: Float32,
    factor: Float32,
    bounds: tuple[int, int],
    held: NDArray[np.bool_] | None,
    codes: Float32,
) -> None:
    """Fill `codes`; `weights` is used up."""
    terms = weights.shape[1]
    for first in range(0, terms, _TOGETHER):
        last = min(first + _TOGETHER, terms)
        errors = np.empty_like(weights[:, first:last])
        for i in range(first, last):
            row = np.rint(weights[:, i] / scale[:, i])
            row += zero_point[:, i]
            np.clip(row, *bounds, out=row)
            if held is not None:
                row = np.where(held[:, i], zero_point[:, i], row)
            codes[:, i] = row
            error = weights[:, i] - (row - zero_point[:, i]) * scale[:, i]
            error /= factor[:, i, i, np.newaxis]
            errors[:, i - first] = error
            along = factor[:, i, i + 1 : last, np.newaxis]
            weights[:, i + 1 : last] -= along * error[:, np.newaxis]
        weights[:, last:] -= factor[:, first:last, last:].swapaxes(1, 2) @ errors


def inverse_factor(moment: NDArray[np.floating]) -> Float64:
    """The upper triangular U with H⁻¹ = Uᵀ U, for every group.

    With the order of rows and columns reversed, H is L Lᵀ and its inverse L⁻ᵀ L⁻¹; reversed
    again, L⁻¹ is upper triangular.

    Raises:
        numpy.linalg.LinAlgError: H is not positive definite.
    """
    reversed_moment = np.asarray(moment, np.float64)[:, ::-1, ::-1]
    lower = np.linalg.cholesky(reversed_moment)
    return _inverse_of_lower(np.asarray(lower, np.float64))[:, ::-1, ::-1]


def _inverse_of_lower(lower: Float64) -> Float64:
    """By halves, so that nearly all work is in matrix products."""
    size = lower.shape[-1]
    if size <= _SMALL:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    inverse = np.zeros_like(lower)
    first = inverse[:, :half, :half] = _inverse_of_lower(lower[:, :half, :half])
    second = inverse[:, half:, half:] = _inverse_of_lower(lower[:, half:, half:])
    inverse[:, half:, :half] = -second @ (lower[:, half:, :half] @ first)
    return inverse
