"""Swaps of channels against every way of putting channels into blocks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from onnxq.pruning.nm import find_permutation, kept
from onnxq.quant import Pattern


def _worth(scores, pattern):
    best = 0.0
    for block in scores.reshape(-1, pattern.block, scores.shape[1]):
        best += np.sort(block, axis=0)[-pattern.kept :].sum()
    return best


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 4), Pattern(3, 4)], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_close_to_the_best_of_all(pattern, seed):
    scores = np.random.default_rng(seed).random((8, 30)).astype(np.float32)
    given = scores.copy()
    order = find_permutation(scores, pattern)
    assert np.array_equal(scores, given), "the scores are not changed"
    assert sorted(order) == list(range(8))
    found = _worth(scores[order], pattern)
    assert kept(scores[order], pattern) == pytest.approx(found, rel=1e-5)
    all_ways = [
        _worth(scores[[*first, *(set(range(8)) - set(first))]], pattern)
        for first in combinations(range(8), 4)
    ]
    now = _worth(scores, pattern)
    assert found >= now
    assert found - now >= 0.5 * (max(all_ways) - now)


def test_channels_that_compete_are_parted():
    scores = np.full((16, 40), 0.01, np.float32)
    scores[:8] = 1.0
    order = find_permutation(scores, Pattern(2, 4))
    assert _worth(scores, Pattern(2, 4)) == pytest.approx(40 * (4 + 4 * 0.01), rel=1e-4)
    assert _worth(scores[order], Pattern(2, 4)) == pytest.approx(40 * 8, rel=1e-4)


def test_many_columns():
    scores = np.random.default_rng(1).random((64, 700)).astype(np.float32) ** 4
    order = find_permutation(scores, Pattern(2, 4))
    assert _worth(scores[order], Pattern(2, 4)) > _worth(scores, Pattern(2, 4))
