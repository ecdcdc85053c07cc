from __future__ import annotations

import math

import numpy as np
import pytest

from onnxq.measure import Accuracy, Latency, Speedup, Timing
from onnxq.report.before_after import accuracy_row, latency_row, size_row


def _top(hits: list[bool]) -> Accuracy:
    array = np.array(hits)
    value = float(array.mean())
    error = math.sqrt(value * (1 - value) / len(hits))
    return Accuracy("top-1", value, len(hits), error, higher_is_better=True, hits=array)


def test_accuracy_is_in_points_with_the_paired_error():
    before = [True] * 9 + [False]
    after = [True] * 8 + [False, False]
    name, first, second, change = accuracy_row(_top(before), _top(after))
    assert (name, first, second) == ("accuracy (top-1)", "90.00 %", "80.00 %")
    # One of ten decisions changed: the standard error of the mean difference.
    differences = np.array(before, int) - np.array(after, int)
    error = float(differences.std() / math.sqrt(10)) * 100
    low, high = error * 0.9, error * 1.1  # dividing by n or n - 1 is not the matter here
    shown = float(str(change).split("±")[1].split()[0])
    assert str(change).startswith("-10.00 ±") and low < shown < high
    assert str(change).endswith("points, 10 samples")


def test_other_metrics_keep_their_unit():
    none = np.zeros(0, bool)
    before = Accuracy("mse", 0.5, 4, None, higher_is_better=False, hits=none)
    after = Accuracy("mse", 0.75, 4, None, higher_is_better=False, hits=none)
    assert accuracy_row(before, after) == ("mse", "0.5", "0.75", "+0.25, 4 samples")


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [(4000, 1000, "4.00 times smaller"), (1000, 2000, "2.00 times larger")],
)
def test_size_may_grow(before, after, change):
    assert size_row(before, after)[3] == change


def test_latency():
    timings = (Timing("input", 2.0, 1.9, 2.1, 1.8), Timing("output", 1.0, 0.9, 1.1, 0.8))
    speedups = (Speedup("input", 1.0, 1.0, 1.0), Speedup("output", 2.0, 1.9, 2.1))
    assert latency_row(Latency(timings, speedups, 60)) == (
        "latency (median)",
        "2 ms",
        "1 ms",
        "2.00 times the speed (95 %: 1.90 to 2.10)",
    )
