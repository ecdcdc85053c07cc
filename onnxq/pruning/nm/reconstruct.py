"""Which weights stay, and what those become, from the second moment of a layer's inputs.

SparseGPT (Frantar and Alistarh 2023, arXiv:2301.00774, sections 3.3 and 4) goes through the terms
in turn. With U the upper Cholesky factor of H⁻¹ = Uᵀ U, taking the weight w of term i away costs
w² / U_ii² and moves every later term j by -w U_ij / U_ii. For N:M, the M - N weights that cost
least go whenever a block of M terms begins.

Afterwards the weights that stay are fitted once more, by coordinate descent on the same error
(w - ŵ)ᵀ H (w - ŵ): earlier terms of a sum could not make up for later ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.quant import Pattern, inverse_factor

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

_BLOCKS_TOGETHER = 64
_MORE_DAMPING = 10.0
_MOST_DAMPING = 10.0


def damped(moment: NDArray[np.floating], share: float) -> Float32:
    """A moment [group, term, term] with a share of its mean diagonal added to its diagonal.

    A group whose inputs are always zero gets the identity: nearest to the weights is best there.
    """
    terms = moment.shape[-1]
    mean = np.trace(moment, axis1=1, axis2=2, dtype=np.float64) / terms
    extra = np.where(mean > 0.0, share * mean, 1.0)[:, np.newaxis, np.newaxis]
    return np.asarray(moment + extra * np.eye(terms), np.float32)


def reconstruct(
    weights: Float32, moment: NDArray[np.floating], pattern: Pattern, damping: float
) -> tuple[Float32, Mask]:
    """Weights that keep a layer's outputs although M - N of every M terms are zero.

    Memory: about four arrays of the weights' size and three float64 ones of the moment's.

    Args:
        weights: float32 [group, term, sum], every M consecutive terms a block.
        moment: H = Σ x xᵀ over inputs x, [group, term, term], terms in the same order.
        pattern: N:M, whose M divides the terms.
        damping: Share of the mean diagonal that is added to H; more where it must be.

    Returns:
        The new weights, and where they stay.
    """
    factor = _factor(moment, damping)
    weights = weights.copy()
    mask = np.empty(weights.shape, np.bool_)
    together = max(1, _BLOCKS_TOGETHER // pattern.block) * pattern.block
    for first in range(0, weights.shape[1], together):
        part = slice(first, min(first + together, weights.shape[1]))
        errors = _prune_part(weights[:, part], mask[:, part], factor[:, part, part], pattern)
        weights[:, part.stop :] -= factor[:, part, part.stop :].swapaxes(1, 2) @ errors
    return weights, mask


def _factor(moment: NDArray[np.floating], damping: float) -> Float32:
    while True:
        try:
            return inverse_factor(damped(moment, damping)).astype(np.float32)
        except np.linalg.LinAlgError:
            if damping > _MOST_DAMPING:
                raise
            damping = max(damping, 1e-6) * _MORE_DAMPING


def _prune_part(weights: Float32, mask: Mask, factor: Float32, pattern: Pattern) -> Float32:
    """Prune a few blocks in place; the errors that later terms make up for."""
    errors = np.empty_like(weights)
    diagonal = np.diagonal(factor, axis1=1, axis2=2)[:, :, np.newaxis]
    for i in range(weights.shape[1]):
        if i % pattern.block == 0:
            block = slice(i, i + pattern.block)
            mask[:, block] = pattern.strongest(np.abs(weights[:, block]) / diagonal[:, block])
        gone = np.where(mask[:, i], np.float32(0.0), weights[:, i])
        error = errors[:, i] = gone / diagonal[:, i]
        weights[:, i] -= gone
        weights[:, i + 1 :] -= factor[:, i, i + 1 :, np.newaxis] * error[:, np.newaxis]
    return errors


def refit(start: Float32, target: Float32, mask: Mask, moment: Float32, sweeps: int) -> Float32:
    """Weights of the same zeros whose error (target - w)ᵀ H (target - w) is no larger.

    Args:
        start: [group, term, sum].
        target: What the layer should compute with.
        mask: Where weights may differ from zero.
        moment: H, positive definite, as `damped` makes it.
        sweeps: Times that all terms are changed in turn.
    """
    weights = start.copy()
    steepness = np.diagonal(moment, axis1=1, axis2=2)[:, :, np.newaxis]
    gradient = moment @ (target - weights)
    terms = weights.shape[1]
    for _ in range(sweeps):
        for first in range(0, terms, _BLOCKS_TOGETHER):
            part = slice(first, min(first + _BLOCKS_TOGETHER, terms))
            local, moves = gradient[:, part].copy(), np.empty_like(weights[:, part])
            for i in range(local.shape[1]):
                place = first + i
                move = np.where(mask[:, place], local[:, i] / steepness[:, place], np.float32(0.0))
                moves[:, i] = move
                local -= moment[:, part, place, np.newaxis] * move[:, np.newaxis]
            weights[:, part] += moves
            gradient -= moment[:, :, part] @ moves
    return weights
