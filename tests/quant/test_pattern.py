from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from onnxq.errors import UsageError
from onnxq.quant import Pattern

PATTERNS = [Pattern(2, 4), Pattern(1, 2), Pattern(4, 8), Pattern(1, 4), Pattern(3, 5)]


@pytest.mark.parametrize("text", ["2:4", " 4:8 ", "1:16"])
def test_text_and_back(text):
    assert str(Pattern.parse(text)) == text.strip()


@pytest.mark.parametrize("text", ["", "24", "2:4:8", "a:b", "-2:4", "4:4", "0:4", "5:4", "2:65"])
def test_what_is_no_pattern(text):
    with pytest.raises(UsageError, match="no pattern of sparsity") as caught:
        Pattern.parse(text)
    assert "such as 2:4" in str(caught.value.remedy)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_strongest_keeps_the_best_of_all_choices(pattern):
    scores = np.random.default_rng(0).random((2, 3 * pattern.block, 5))
    mask = pattern.strongest(scores)
    assert not pattern.violations(mask, 1)
    for group in range(2):
        for block in range(3):
            rows = slice(block * pattern.block, (block + 1) * pattern.block)
            for column in range(5):
                part = scores[group, rows, column]
                best = max(
                    part[list(places)].sum()
                    for places in combinations(range(pattern.block), pattern.kept)
                )
                assert part[mask[group, rows, column]].sum() == pytest.approx(best)


def test_equal_scores_keep_the_first():
    mask = Pattern(2, 4).strongest(np.ones((4, 1)))
    assert mask[:, 0].tolist() == [True, True, False, False]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_violations_are_counted_along_the_axis(axis):
    pattern = Pattern(2, 4)
    used = np.random.default_rng(1).random((8, 12, 8)) < 0.5
    expected = 0
    for line in np.moveaxis(used, axis, -1).reshape(-1, used.shape[axis]):
        expected += sum(line[i : i + 4].sum() > 2 for i in range(0, len(line), 4))
    assert expected
    assert pattern.violations(used, axis) == expected


def test_a_last_block_that_is_not_full_counts():
    pattern = Pattern(1, 4)
    assert pattern.violations(np.array([1, 0, 0, 0, 1, 1], bool), 0) == 1
    assert pattern.violations(np.zeros((0, 3), bool), 0) == 0


@pytest.mark.parametrize(
    ("pattern", "bits", "share"),
    [
        (Pattern(2, 4), 16, 9 / 16),
        (Pattern(2, 4), 8, 5 / 8),
        (Pattern(1, 2), 32, 33 / 64),
        (Pattern(4, 8), 8, 4 * 11 / 64),
        (Pattern(1, 5), 8, 11 / 40),
    ],
)
def test_packed_share(pattern, bits, share):
    assert pattern.packed_share(bits) == pytest.approx(share, rel=1e-12)
