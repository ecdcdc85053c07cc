"""Which channels should share a block, so that fewer large weights compete for its N places.

Greedy swaps of channels between blocks, the kind of search of Pool and Yu 2021 ("Channel
Permutations for N:M Sparsity", NeurIPS). With the channel at one place of a block left out, let t
be the N-th largest of what is left in a column; a channel x in its place keeps

    Σ over columns (sum of the N - 1 largest of the others + max(t, x))

so that all C² exchanges are weighed in one sweep over the columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.quant import Pattern

Float32 = NDArray[np.float32]
Order = NDArray[np.intp]

_ROUNDS = 20
_MOST_COLUMNS = 256
_AT_ONCE = 1 << 24
_WORTH_IT = 3e-4


def find_permutation(scores: Float32, pattern: Pattern, seed: int = 0) -> Order:
    """An order of channels in which blocks of M consecutive ones keep more.

    Args:
        scores: [channel, column], not negative: what a channel's weights are worth. M divides the
            channels. Of more than 256 columns, a random choice counts.
        pattern: N:M.
        seed: Of that choice.

    Returns:
        [channel]: which channel comes to each place.
    """
    channels, columns = scores.shape
    if columns > _MOST_COLUMNS:
        chosen = np.random.default_rng(seed).choice(columns, _MOST_COLUMNS, replace=False)
        scores = scores[:, np.sort(chosen)]
    scores = scores.copy()
    order = np.arange(channels)
    total = kept(scores, pattern)
    value = _values(scores, pattern, np.arange(channels))
    for _ in range(_ROUNDS):
        swaps = _best_swaps(value, scores, pattern)
        if not len(swaps):
            break
        first, second = swaps.T
        order[first], order[second] = order[second], order[first]
        scores[first], scores[second] = scores[second], scores[first]
        value[:, first], value[:, second] = value[:, second], value[:, first]
        changed = _places_of_blocks(np.concatenate([first, second]), pattern)
        value[changed] = _values(scores, pattern, changed)
        now = kept(scores, pattern)
        if now - total <= _WORTH_IT * total:
            break
        total = now
    return order


def kept(scores: Float32, pattern: Pattern) -> float:
    """The sum of the scores that stay when each block keeps its N largest in every column."""
    return float(_kept_by_block(scores, pattern).sum(dtype=np.float64))


def _kept_by_block(scores: Float32, pattern: Pattern) -> Float32:
    blocks = scores.reshape(-1, pattern.block, scores.shape[1])
    largest = np.partition(blocks, pattern.block - pattern.kept, axis=1)
    return np.asarray(largest[:, pattern.block - pattern.kept :].sum(axis=(1, 2)), np.float32)


def _values(scores: Float32, pattern: Pattern, places: Order) -> Float32:
    """[place, channel]: what a place's block would keep with that channel in the place."""
    block = pattern.block
    starts = places // block * block
    others = starts[:, np.newaxis] + np.arange(block - 1)
    others += others >= places[:, np.newaxis]
    rest = -np.sort(-scores[others], axis=1)
    base = rest[:, : pattern.kept - 1].sum(axis=(1, 2))
    threshold = rest[:, pattern.kept - 1]
    found = np.empty((len(places), len(scores)), np.float32)
    step = max(1, _AT_ONCE // max(scores.size, 1))
    for first in range(0, len(places), step):
        part = slice(first, first + step)
        best = np.maximum(threshold[part, np.newaxis], scores[np.newaxis])
        found[part] = best.sum(axis=2) + base[part, np.newaxis]
    return found


def _best_swaps(value: Float32, scores: Float32, pattern: Pattern) -> Order:
    """Pairs of places [n, 2] worth exchanging, best first, each block in one of them at most."""
    now = np.repeat(_kept_by_block(scores, pattern), pattern.block)
    gain = value + value.T - now[:, np.newaxis] - now
    block_of = np.arange(len(scores)) // pattern.block
    gain[block_of[:, np.newaxis] == block_of] = 0.0
    best = np.argmax(gain, axis=1)
    worth = gain[np.arange(len(gain)), best]
    free = np.ones(block_of[-1] + 1, np.bool_)
    chosen: list[tuple[int, int]] = []
    threshold = _WORTH_IT * float(now.mean())
    for place in np.argsort(-worth, kind="stable"):
        partner = int(best[place])
        if worth[place] <= threshold:
            break
        if free[block_of[place]] and free[block_of[partner]]:
            free[block_of[[place, partner]]] = False
            chosen.append((int(place), partner))
    return np.array(chosen, np.intp).reshape(-1, 2)


def _places_of_blocks(places: Order, pattern: Pattern) -> Order:
    blocks = np.unique(places // pattern.block)
    return (blocks[:, np.newaxis] * pattern.block + np.arange(pattern.block)).reshape(-1)
