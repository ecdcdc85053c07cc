"""Coordinate descent on the codes, and the scales that fit given codes best.

Both lower the quadratic error (w - ŵ)ᵀ H (w - ŵ), or leave it as it is.

With g = H (w - ŵ), changing code i by d steps of the scale s changes the error by
s² d² H_ii - 2 s d g_i, which is least for the whole number d next to g_i / (s H_ii) (as in
QuantEase, Behdin et al. 2023, arXiv:2309.01885). Given the codes, ŵ is linear in the scales of a
sum's blocks, and the best ones solve a small system of linear equations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.choose import SMALLEST_SCALE
from onnxq.quant.quadratic import Grid, Quadratic

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_TOGETHER = 64
_SYSTEM_BYTES = 1 << 26
_RIDGE = 1e-7


def descend(problem: Quadratic, grid: Grid, codes: Float32, *, sweeps: int) -> Float32:
    """Codes whose error is no larger, changed one term at a time, in at most so many sweeps."""
    codes = codes.copy()
    scale, moment = grid.spread(grid.scale), problem.moment
    steepness = np.maximum(np.diagonal(moment, axis1=1, axis2=2), np.finfo(np.float32).tiny)
    bounds = (grid.scheme.minimum, grid.scheme.maximum)
    gradient = moment @ (problem.weights - grid.values(codes))
    for _ in range(sweeps):
        changed = False
        for first in range(0, grid.terms, _TOGETHER):
            part = slice(first, min(first + _TOGETHER, grid.terms))
            moves = _descend_part(
                codes[:, part],
                gradient[:, part],
                moment[:, part, part],
                scale[:, part],
                steepness[:, part],
                bounds,
                None if problem.held is None else problem.held[:, part],
            )
            if moves.any():
                changed = True
                gradient -= moment[:, :, part] @ moves
        if not changed:
            break
    return codes


def _descend_part(
    codes: Float32,
    gradient: Float32,
    moment: Float32,
    scale: Float32,
    steepness: Float32,
    bounds: tuple[int, int],
    held: NDArray[np.bool_] | None,
) -> Float32:
    """Change the codes of a few terms in place; returns by how much their values grew."""
    gradient, moves = gradient.copy(), np.zeros_like(codes)
    for i in range(codes.shape[1]):
        wanted = np.rint(gradient[:, i] / (scale[:, i] * steepness[:, i, np.newaxis]))
        wanted += codes[:, i]
        np.clip(wanted, *bounds, out=wanted)
        if held is not None:
            wanted = np.where(held[:, i], codes[:, i], wanted)
        move = wanted - codes[:, i]
        if not move.any():
            continue
        codes[:, i] = wanted
        move *= scale[:, i]
        moves[:, i] = move
        gradient -= moment[:, i, :, np.newaxis] * move[:, np.newaxis]
    return moves


def refit(problem: Quadratic, grid: Grid, codes: Float32) -> Grid:
    """The grid with the scales that fit the codes best, where each sum has scales of its own.

    A sum keeps its scales where the best ones are not between half and twice of them.
    """
    groups, _, sums = codes.shape
    if not grid.scheme.any_scale or grid.scale.shape[::2] != (groups, sums):
        return grid
    blocks = grid.scale.shape[1]
    scale = grid.scale.copy()
    width = max(1, _SYSTEM_BYTES // (8 * blocks * blocks))
    for group in range(groups):
        for first in range(0, sums, width):
            part = (slice(group, group + 1), slice(None), slice(first, first + width))
            scale[part] = _best_scales(problem, grid, codes, part)
    return replace(grid, scale=scale)


def _best_scales(
    problem: Quadratic, grid: Grid, codes: Float32, part: tuple[slice, slice, slice]
) -> Float32:
    moment, old = problem.moment[part[0]][0], grid.scale[part][0]
    steps = (codes[part] - grid.spread(grid.zero_point[part]))[0]
    starts = np.arange(0, grid.terms, grid.block)
    target = np.add.reduceat((moment @ problem.weights[part][0]) * steps, starts, axis=0)
    system = np.empty((steps.shape[1], len(starts), len(starts)))
    for place, start in enumerate(starts):
        own = slice(start, start + grid.block)
        shared = np.add.reduceat((moment[:, own] @ steps[own]) * steps, starts, axis=0)
        system[:, :, place] = shared.T
    new = _solve(system, target.T.astype(np.float64)).T
    fits = (new > 0.5 * old) & (new < 2.0 * old) & (new > SMALLEST_SCALE)
    return np.where(fits.all(axis=0), new, old).astype(np.float32)


def _solve(system: Float64, target: Float64) -> Float64:
    """Solutions of many small systems; blocks of zeros, which any scale fits, get none."""
    size = system.shape[-1]
    ridge = _RIDGE * np.trace(system, axis1=1, axis2=2) / size + np.finfo(np.float64).tiny
    system = system + ridge[:, np.newaxis, np.newaxis] * np.eye(size)
    return np.asarray(np.linalg.solve(system, target[..., np.newaxis])[..., 0])
