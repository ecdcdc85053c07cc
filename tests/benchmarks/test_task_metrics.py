"""Figures of outputs against what can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from task_metrics import (
    accuracy,
    class_agreement,
    mask_overlap,
    neighbour_agreement,
    sqnr,
    string_agreement,
)

CHARACTERS = ("a", "b", "c")


def _steps(*best: int) -> np.ndarray:
    """Scores [steps, 4] with these classes on top; class 0 is the blank."""
    return np.eye(4, dtype=np.float32)[list(best)]


def test_sqnr_is_the_ratio_of_energies() -> None:
    reference = np.array([[3.0, 4.0]], np.float32)
    judged = np.array([[3.0, 3.5]], np.float32)
    assert sqnr(reference, judged) == pytest.approx(10 * math.log10(25 / 0.25))


def test_sqnr_of_equal_and_of_broken_outputs() -> None:
    outputs = np.ones((2, 3), np.float32)
    assert sqnr(outputs, outputs) == math.inf
    assert sqnr(outputs, np.full((2, 3), np.nan, np.float32)) == -math.inf


def test_strings_merge_repeats_and_drop_blanks() -> None:
    reference = np.stack([_steps(1, 1, 0, 2), _steps(3, 0, 3, 0)])  # "ab", "cc"
    spaced = np.stack([_steps(0, 1, 2, 2), _steps(3, 3, 3, 0)])  # "ab", "c"
    found = string_agreement(reference, spaced, CHARACTERS)
    assert found == {"strings": 0.5, "characters": 0.75}


def test_strings_where_nothing_is_read() -> None:
    blank = _steps(0, 0)[None]
    assert string_agreement(blank, blank, CHARACTERS) == {"strings": 1.0, "characters": 1.0}
    read = string_agreement(blank, _steps(1, 0)[None], CHARACTERS)
    assert read == {"strings": 0.0, "characters": 0.0}


def test_masks_are_averaged_over_pages() -> None:
    reference = np.array([[0.9, 0.9, 0.1, 0.1], [0.0, 0.0, 0.0, 0.0]])
    judged = np.array([[0.9, 0.2, 0.4, 0.1], [0.3, 0.0, 0.0, 0.0]])
    # One of three marked pixels is common; at the threshold itself nothing is marked.
    assert mask_overlap(reference, judged)["iou"] == pytest.approx((1 / 3 + 1) / 2)


def test_neighbours_ignore_length_and_the_text_itself() -> None:
    reference = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    assert neighbour_agreement(reference, 5 * reference) == {"neighbours": 1.0}
    swapped = reference[[0, 2, 1, 3]]
    assert neighbour_agreement(reference, swapped) == {"neighbours": 0.0}


def test_neighbours_agree_with_brute_force() -> None:
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(20, 8))
    judged = reference + generator.normal(scale=0.8, size=reference.shape)

    def nearest(vectors: np.ndarray, index: int) -> int:
        def cosine(other: int) -> float:
            a, b = vectors[index], vectors[other]
            return float(a @ b / np.sqrt((a @ a) * (b @ b)))

        return max((other for other in range(len(vectors)) if other != index), key=cosine)

    same = [nearest(reference, index) == nearest(judged, index) for index in range(20)]
    assert neighbour_agreement(reference, judged)["neighbours"] == pytest.approx(np.mean(same))
    assert 0 < np.mean(same) < 1


def test_classes_over_any_trailing_shape() -> None:
    reference = np.array([[[0.1, 0.9]], [[0.8, 0.2]], [[0.3, 0.7]], [[0.6, 0.4]]])
    judged = np.array([[[0.4, 0.6]], [[0.1, 0.9]], [[0.0, 1.0]], [[0.9, 0.1]]])
    assert class_agreement(reference, judged) == {"agreement": 0.75}
    assert accuracy(judged, np.array([1, 0, 1, 1])) == 0.5
