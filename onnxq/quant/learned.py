"""Codes of a weight that keep a layer's outputs, found from the second moment of its inputs.

GPTQ rounds; coordinate descent corrects what it left; scales are fitted to the codes, and the
codes to the scales. Wherever a sum (an output channel) ends no better than rounded to nearest,
it is rounded to nearest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.choose import choose_qparams, value_range
from onnxq.quant.codes import Codes
from onnxq.quant.descent import descend, refit
from onnxq.quant.gptq import gptq
from onnxq.quant.products import Products
from onnxq.quant.qparams import QParams
from onnxq.quant.quadratic import Float32, Grid, Quadratic, grid_of, stored

_FACTORS = np.geomspace(1.0, 0.25, 32)
_MORE_DAMPING = 10.0
_MOST_DAMPING = 10.0


@dataclass(frozen=True)
class Learning:
    """How hard to look for better codes.

    Attributes:
        damping: Share of the mean diagonal of the inputs' second moment that is added to it.
        sweeps: Most rounds of coordinate descent, each as costly as GPTQ itself; 0 for none.
        refits: How often scales are fitted to the codes and the codes to the scales. 0 keeps the
            scales that were given.
        search_scales: Before all else shrink ranges as long as that lowers the squared error of
            the weights, each weighted by the mean square of its input.
    """

    damping: float = 0.01
    sweeps: int = 2
    refits: int = 1
    search_scales: bool = True


@dataclass(frozen=True, eq=False)
class Learned:
    """What came of a weight.

    Attributes:
        codes: The codes and their parameters.
        nearest: Sum of squared output errors on the samples with all weights rounded to nearest
            at the parameters given.
        error: The same with these codes: no larger.
    """

    codes: Codes
    nearest: float
    error: float


def learn_codes(
    weight: NDArray[Any],
    parameters: QParams,
    products: Products,
    moment: NDArray[np.floating],
    learning: Learning | None = None,
    held: NDArray[np.bool_] | None = None,
) -> Learned:
    """Round a weight so that the layer's outputs change least.

    Memory: about six float32 arrays of the weight's size and four of the moment's in float64.

    Args:
        weight: The float weight.
        parameters: Scales to round at, and to fall back to.
        products: How the layer uses the weight.
        moment: Sum of x xᵀ over inputs x, [group, term, term]; of any scale.
        learning: How hard to look.
        held: Where the weight is zero and must stay so, in its shape; None: nowhere.

    Raises:
        UsageError: The parameters' scales do not follow the sums of the weight.
    """
    learning = learning or Learning()
    start = grid_of(parameters, products, weight.shape)
    weights = np.ascontiguousarray(products.matrices(np.asarray(weight, np.float32)))
    first = start.nearest(weights)
    zeros = None if held is None else products.matrices(held)
    exact = Quadratic(weights, np.asarray(moment, np.float32), zeros)
    nearest = exact.errors(start.values(first))
    found = Learned(
        stored(first, start, products, weight.shape), float(nearest.sum()), float(nearest.sum())
    )
    if not np.trace(exact.moment, axis1=1, axis2=2).all():
        return found  # No sample reached one of the groups.
    grid = _searched(weight, parameters, products, exact) if learning.search_scales else start
    codes, grid = _improved(exact, grid, learning)
    damped = exact.damped(learning.damping)
    better = exact.errors(grid.values(codes)) < nearest
    better &= damped.errors(grid.values(codes)) < damped.errors(start.values(first))
    codes, grid = _chosen(better[:, np.newaxis], (codes, grid), (first, start))
    error = float(exact.errors(grid.values(codes)).sum())
    return Learned(stored(codes, grid, products, weight.shape), found.nearest, error)


def _improved(exact: Quadratic, grid: Grid, learning: Learning) -> tuple[Float32, Grid]:
    damped, codes = _rounded(exact, grid, learning.damping)
    codes = descend(damped, grid, codes, sweeps=learning.sweeps)
    for _ in range(learning.refits):
        grid = refit(damped, grid, codes)
        codes = descend(damped, grid, codes, sweeps=learning.sweeps)
    return codes, grid


def _rounded(exact: Quadratic, grid: Grid, damping: float) -> tuple[Quadratic, Float32]:
    """GPTQ, with as much more damping as the moment needs to be inverted."""
    while True:
        damped = exact.damped(damping)
        try:
            return damped, gptq(damped, grid)
        except np.linalg.LinAlgError:
            if damping > _MOST_DAMPING:
                return damped, grid.nearest(damped.weights)
            damping = max(damping, 1e-6) * _MORE_DAMPING


def _searched(weight: NDArray[Any], given: QParams, products: Products, exact: Quadratic) -> Grid:
    """Scales of least squared error, each term weighted by the mean square of its input."""
    best = grid_of(given, products, weight.shape)
    if given.scale.ndim == 0:
        return best
    importance = np.diagonal(exact.moment, axis1=1, axis2=2)[:, :, np.newaxis]
    starts = np.arange(0, best.terms, best.block)

    def error(grid: Grid) -> Float32:
        squares = exact.weights - grid.values(grid.nearest(exact.weights))
        squares *= squares
        squares *= importance
        return np.asarray(np.add.reduceat(squares, starts, axis=1))

    low, high = (bound.astype(np.float64) for bound in value_range(given.scheme, weight))
    smallest = error(best)
    for factor in _FACTORS:
        chosen = choose_qparams(given.scheme, low * factor, high * factor)
        candidate = grid_of(chosen, products, weight.shape)
        now = error(candidate)
        better = now < smallest
        best = replace(
            best,
            scale=np.where(better, candidate.scale, best.scale),
            zero_point=np.where(better, candidate.zero_point, best.zero_point),
        )
        smallest = np.minimum(now, smallest)
    return best


def _chosen(
    better: NDArray[np.bool_], new: tuple[Float32, Grid], old: tuple[Float32, Grid]
) -> tuple[Float32, Grid]:
    """New codes and scales for the sums where they are better, old ones for the others."""
    codes = np.where(better, new[0], old[0])
    grid = old[1]
    if grid.scale.shape[::2] != better.shape[::2]:
        return codes, grid  # One scale for all, which nothing has changed.
    scale = np.where(better, new[1].scale, grid.scale)
    zero_point = np.where(better, new[1].zero_point, grid.zero_point)
    return codes, replace(grid, scale=scale, zero_point=zero_point)
