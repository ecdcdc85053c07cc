"""What a model's outputs are worth for its task, measured against the float model's outputs.

Every function takes the outputs of all held-out samples, stacked along axis 0: first those of the
float model, then those of the judged one. Shares are fractions from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from line_accuracy import decode, edit_distance

Figures = dict[str, float]

MASK_THRESHOLD = 0.3
"""From this probability on a pixel counts as text, as in the detector's own settings."""


def sqnr(reference: np.ndarray, judged: np.ndarray) -> float:
    """Return 10 * log10(sum y^2 / sum (y - y')^2) in dB over all elements of all samples.

    Equal outputs give infinity, values that are not finite minus infinity.
    """
    signal, noise = (
        float(np.square(array.ravel().astype(np.float64)).sum())
        for array in (reference, reference.astype(np.float64) - judged)
    )
    if not math.isfinite(noise):
        return -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf


def class_agreement(reference: np.ndarray, judged: np.ndarray) -> Figures:
    """The share of samples whose highest score, of [N, classes], is that of the float model."""
    return {"agreement": float(np.mean(_classes(reference) == _classes(judged)))}


def string_agreement(
    reference: np.ndarray, judged: np.ndarray, characters: Sequence[str]
) -> Figures:
    """The shares of lines, [N, steps, classes], and of their characters that read the same.

    Characters are 1 - (edit distance) / (characters of the float model's reading).
    """
    lines = [(decode(a, characters), decode(b, characters)) for a, b in _pairs(reference, judged)]
    edits = sum(edit_distance(ours, real) for real, ours in lines)
    length = sum(len(real) for real, _ in lines)
    return {
        "strings": sum(real == ours for real, ours in lines) / len(lines),
        "characters": 1 - edits / length if length else float(edits == 0),
    }


def mask_overlap(
    reference: np.ndarray, judged: np.ndarray, threshold: float = MASK_THRESHOLD
) -> Figures:
    """The intersection over the union of the masks, [N, ...], as the mean over the samples.

    A sample in which neither model marks anything counts as 1.
    """
    return {
        "iou": float(np.mean([_overlap(a, b, threshold) for a, b in _pairs(reference, judged)]))
    }


def neighbour_agreement(reference: np.ndarray, judged: np.ndarray) -> Figures:
    """The share of samples, [N, width], whose nearest other sample by cosine is the same."""
    return {"neighbours": float(np.mean(_nearest(reference) == _nearest(judged)))}


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """The share of samples whose highest score, of [N, classes], is the labelled one."""
    return float(np.mean(_classes(outputs) == labels))


AGREEMENTS: Mapping[str, Callable[[np.ndarray, np.ndarray], Figures]] = {
    "classes": class_agreement,
    "masks": mask_overlap,
    "neighbours": neighbour_agreement,
}
"""Those that need nothing but the outputs."""


def _classes(scores: np.ndarray) -> np.ndarray:
    highest: np.ndarray = np.argmax(scores.reshape(len(scores), -1), axis=1)
    return highest


def _pairs(reference: np.ndarray, judged: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(reference, judged, strict=True))


def _overlap(reference: np.ndarray, judged: np.ndarray, threshold: float) -> float:
    first, second = reference > threshold, judged > threshold
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def _nearest(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.reshape(len(vectors), -1).astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest: np.ndarray = np.argmax(cosines, axis=1)
    return nearest
