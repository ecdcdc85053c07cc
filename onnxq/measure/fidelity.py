"""How close the outputs of two models are, over a stream of inputs.

Sums are kept in float64 and nothing else is, so memory does not grow with the number of
feeds. One feed is one sample.

1. Signal-to-quantization-noise ratio: 10 * log10(sum y^2 / sum (y - y')^2) in dB over all
   elements of all samples; infinite if the outputs are equal.
2. Cosine: the mean over samples of y . y' / (|y| |y'|) of the flattened outputs.
3. Non-finite values: the same infinity, or NaN, on both sides is agreement and takes no
   part in the sums. On one side only it is an infinite error: the ratio becomes -inf.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, Run
from onnxq.errors import DataError

SQNR_CAP = 100.0
"""SQNR in dB above which an error counts as none."""


@dataclass(frozen=True)
class Fidelity:
    """The differences of one output. A figure is None where it has no meaning.

    Attributes:
        output: Name of the output (or tensor) in the first model.
        samples: Number of feeds whose outputs had the same shape and were compared.
        elements: Number of elements compared.
        sqnr: Signal-to-quantization-noise ratio in dB; float outputs only.
        cosine: Mean cosine similarity; float outputs only. Two zero vectors count as 1,
            a zero and a non-zero one, or an infinite error, as 0.
        max_error: Largest absolute difference.
        mse: Mean squared difference.
        agreement: Share of equal argmax along the last axis, for float outputs whose last
            axis has at least two elements; ties go to the first.
        exact: Share of equal elements; integer and truth-value outputs only.
        non_finite: Elements that are NaN or infinite on at least one side.
        non_finite_differing: Those of them that are not the same on both sides.
        shape_mismatches: Feeds whose outputs differ in shape, such as a count of
            detections; they take no part in the other figures.
        skipped: Why the output cannot be compared at all, empty if it can.
        images: How alike the images are, where the output is one and that was looked at.
    """

    output: str
    samples: int = 0
    elements: int = 0
    sqnr: float | None = None
    cosine: float | None = None
    max_error: float | None = None
    mse: float | None = None
    agreement: float | None = None
    exact: float | None = None
    non_finite: int = 0
    non_finite_differing: int = 0
    shape_mismatches: int = 0
    skipped: str = ""
    images: ImageQuality | None = None


@dataclass(frozen=True)
class ImageQuality:
    """How alike two series of images are.

    Attributes:
        psnr: Mean over the images of the peak signal-to-noise ratio in dB; infinite if all are
            equal.
        ssim: Mean over the images of the structural similarity; 1 if all are equal.
        count: Number of images.
    """

    psnr: float
    ssim: float
    count: int


def compare_outputs(run_a: Run, run_b: Run, feeds: Iterable[Feed]) -> dict[str, Fidelity]:
    """Run both models on every feed and compare the outputs by name.

    Args:
        run_a: Runs the reference model.
        run_b: Runs the model that is judged.
        feeds: The inputs; read once, one at a time.

    Returns:
        A Fidelity for every output of either model, those of the first one first.

    Raises:
        DataError: if there is no feed.
    """
    meters: dict[str, FidelityMeter] = {}
    for feed in feeds:
        a, b = run_a(feed), run_b(feed)
        for name in dict.fromkeys((*a, *b)):
            meter = meters.setdefault(name, FidelityMeter(name))
            meter.add_from(a, b, name, name)
    if not meters:
        raise DataError(
            "nothing to compare", why="there was no feed", remedy="give at least one sample"
        )
    return {name: meter.result() for name, meter in meters.items()}


class FidelityMeter:
    """Accumulates the differences of one output, feed by feed."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._skipped = ""
        self._mismatches = 0
        self._samples = 0
        self._elements = 0
        self._is_float = False
        self._signal = 0.0
        self._noise = 0.0
        self._cosines = 0.0
        self._max_error = 0.0
        self._equal = 0
        self._decisions = 0
        self._agreed = 0
        self._non_finite = 0
        self._differing = 0

    def add_from(
        self, a: Mapping[str, Any], b: Mapping[str, Any], name_a: str, name_b: str
    ) -> None:
        """Compare a value out of each of two results; a missing one is a reason to skip."""
        if name_a not in a or name_b not in b:
            side = "first" if name_a not in a else "second"
            self._skipped = f"the {side} model has no output '{self._output}'"
            return
        self.add(a[name_a], b[name_b])

    def add(self, reference: Any, judged: Any) -> None:
        """Compare the values that both models gave for one feed."""
        self._skipped = self._skipped or _incomparable(reference) or _incomparable(judged)
        if self._skipped:
            return
        if reference.shape != judged.shape:
            self._mismatches += 1
            return
        self._samples += 1
        self._elements += reference.size
        self._is_float = _is_float(reference.dtype) or _is_float(judged.dtype)
        if not self._is_float:
            self._equal += int(np.count_nonzero(reference == judged))
        a, b = reference.astype(np.float64), judged.astype(np.float64)
        if self._is_float:
            self._add_decisions(a, b)
        self._add_differences(a, b)

    def result(self) -> Fidelity:
        """The figures so far."""
        counts = Fidelity(
            self._output,
            samples=self._samples,
            elements=self._elements,
            non_finite=self._non_finite,
            non_finite_differing=self._differing,
            shape_mismatches=self._mismatches,
            skipped=self._skipped,
        )
        if self._skipped or not self._elements:
            return counts
        finite = self._elements - (self._non_finite - self._differing)
        mse = self._noise / finite if finite else 0.0
        figures = dataclasses.replace(counts, max_error=self._max_error, mse=mse)
        if not self._is_float:
            return dataclasses.replace(figures, exact=self._equal / self._elements)
        return dataclasses.replace(
            figures,
            sqnr=_decibels(self._signal, self._noise),
            cosine=self._cosines / self._samples,
            agreement=self._agreed / self._decisions if self._decisions else None,
        )

    def _add_decisions(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        if a.ndim == 0 or a.shape[-1] < _FEWEST_CLASSES or not a.size:
            return
        agreed = np.argmax(a, axis=-1) == np.argmax(b, axis=-1)
        self._decisions += agreed.size
        self._agreed += int(np.count_nonzero(agreed))

    def _add_differences(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        usable = np.isfinite(a) & np.isfinite(b)
        differing = 0
        if not usable.all():
            odd_a, odd_b = a[~usable], b[~usable]
            same = (odd_a == odd_b) | (np.isnan(odd_a) & np.isnan(odd_b))
            differing = int(np.count_nonzero(~same))
            self._non_finite += odd_a.size
            self._differing += differing
            a, b = a[usable], b[usable]
        a, b = a.reshape(-1), b.reshape(-1)
        error = np.abs(a - b)
        self._signal += float(a @ a)
        self._noise += math.inf if differing else float(error @ error)
        largest = math.inf if differing else float(error.max(initial=0.0))
        self._max_error = max(self._max_error, largest)
        self._cosines += 0.0 if differing else _cosine(a, b)


_FEWEST_CLASSES = 2


def _incomparable(value: Any) -> str:
    """Why a value cannot be compared, empty if it is a tensor of numbers or truth values."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.kind
        return "" if kind in "fiub" or _is_float(value.dtype) else f"its type is {value.dtype}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "it is a sequence of maps"
    kinds = {list: "a sequence", dict: "a map", type(None): "an empty optional"}
    return f"it is {kinds.get(type(value), type(value).__name__)}"


def _is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a type is floating, those that numpy itself does not know included."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def _decibels(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    if signal == 0.0 or math.isinf(noise):
        return -math.inf
    return 10.0 * (math.log10(signal) - math.log10(noise))


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    length_a, length_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if length_a == 0.0 or length_b == 0.0:
        return float(length_a == length_b)
    return max(-1.0, min(1.0, float((a / length_a) @ (b / length_b))))


def mean_sqnr(fidelity: Mapping[str, Fidelity]) -> float | None:
    """Mean SQNR in dB over the outputs that have one, each capped so that none hides others."""
    values = [min(f.sqnr, SQNR_CAP) for f in fidelity.values() if f.sqnr is not None]
    return float(np.mean(values)) if values else None
