from __future__ import annotations

import math

import numpy as np
import pytest

from onnxq.measure import Accuracy, Latency, Speedup, Timing
from onnxq.report.html import State
from onnxq.report.pages.changes import accuracy_change, latency_change, short_name, size_change


def _top(hits):
    array = np.array(hits)
    value = float(array.mean())
    error = math.sqrt(value * (1 - value) / len(hits))
    return Accuracy("top-1", value, len(hits), error, higher_is_better=True, hits=array)


@pytest.mark.parametrize(
    ("right", "state"), [(100, State.GOOD), (99, State.PLAIN), (80, State.BAD)]
)
def test_a_drop_within_its_error_is_not_called_bad(right, state):
    before = [True] * 99 + [True]
    after = [True] * right + [False] * (100 - right)
    assert accuracy_change(_top(before), _top(after)).state is state


def test_size_and_speed():
    assert size_change(4000, 1000).bars == (1.0, 0.25)
    assert size_change(4000, 1000).state is State.GOOD
    assert size_change(1000, 4000).state is State.BAD
    assert size_change(0, 0).bars is None
    timings = (Timing("input", 2.0, 1.9, 2.1, 1.8), Timing("output", 1.0, 0.9, 1.1, 0.8))
    for low, high, state in (
        (1.9, 2.1, State.GOOD),
        (0.9, 1.1, State.PLAIN),
        (0.4, 0.6, State.BAD),
    ):
        speedups = (Speedup("input", 1.0, 1.0, 1.0), Speedup("output", (low + high) / 2, low, high))
        change = latency_change(Latency(timings, speedups, 60))
        assert change.state is state and change.bars == (1.0, 0.5)


def test_short_names():
    assert short_name("/a/b/c/model.onnx") == "c/model.onnx"
    assert short_name("model.onnx") == "model.onnx"
    assert short_name("/model.onnx") == "model.onnx"
    assert short_name(None) == "model"
