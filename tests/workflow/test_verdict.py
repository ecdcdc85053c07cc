"""The budget against measurements: held, missed, or not to be told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxq import quantize
from onnxq.config import Budget, Config
from onnxq.measure import Accuracy, Fidelity, Speedup
from onnxq.workflow.verdict import judge

GOOD = {"y": Fidelity("y", 1, 10, sqnr=30.0, cosine=0.99, agreement=0.98)}
NOISY = {"y": Fidelity("y", 1, 10, sqnr=5.0), "z": Fidelity("z", 1, 10, sqnr=40.0)}


def pair(before, after, *, higher_is_better=True):
    def score(value):
        return Accuracy("m", value, 100, None, higher_is_better, np.zeros(0, bool))

    return score(before), score(after)


def speed(low, high):
    return Speedup("output", (low + high) / 2, low, high)


def judged(budget, accuracy=None, fidelity=GOOD, speedup=None):
    verdict = judge(Budget.model_validate(budget), accuracy, fidelity, speedup)
    return {f.subject: f.passed for f in verdict.findings}, verdict.success


CASES = {
    "no-budget": ({}, None, {}),
    "sqnr": ({"minimum": 20}, None, {"sqnr": True}),
    "sqnr-missed": ({"minimum": 31}, None, {"sqnr": False}),
    "cosine": ({"metric": "cosine", "max_drop": 0.02}, None, {"cosine": True}),
    "cosine-missed": ({"metric": "cosine", "minimum": 0.995}, None, {"cosine": False}),
    "agreement-missed": ({"metric": "agreement", "max_drop": 0.01}, None, {"agreement": False}),
    "accuracy": ({"max_drop": 0.01}, pair(0.9, 0.895), {"accuracy": True}),
    "accuracy-at-the-limit": ({"max_drop": 0.005}, pair(0.9, 0.895), {"accuracy": True}),
    "accuracy-missed": ({"max_drop": 0.004}, pair(0.9, 0.895), {"accuracy": False}),
    "accuracy-better": ({"max_drop": 0.0}, pair(0.9, 0.91), {"accuracy": True}),
    "accuracy-too-low": ({"minimum": 0.9}, pair(0.95, 0.895), {"accuracy": False}),
    "accuracy-unknown": ({"metric": "accuracy", "max_drop": 0.01}, None, {"accuracy": None}),
    "not-a-number": ({"max_drop": 0.01}, pair(0.9, math.nan), {"accuracy": False}),
    "no-drop-of-sqnr": ({"max_drop": 0.01}, None, {"sqnr": None}),
    "minimum-beside-drop": ({"max_drop": 0.01, "minimum": 31}, None, {"sqnr": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_quality(name):
    budget, accuracy, expected = CASES[name]
    findings, success = judged(budget, accuracy)
    assert findings == expected
    assert success == (False not in expected.values())


@pytest.mark.parametrize(("after", "passed"), [(0.1, True), (0.14, True), (0.16, False)])
def test_a_metric_that_is_better_when_lower(after, passed):
    errors = pair(0.1, after, higher_is_better=False)
    assert judged({"max_drop": 0.05}, errors)[0] == {"accuracy": passed}
    assert judged({"minimum": 0.15}, errors)[0] == {"accuracy": passed}


@pytest.mark.parametrize(
    ("low", "high", "passed"),
    [(1.1, 1.3, True), (0.7, 0.9, False), (0.9, 1.1, None), (1.0, 1.2, True)],
)
def test_speed_is_judged_by_its_interval(low, high, passed):
    findings, success = judged({}, speedup=speed(low, high))
    assert findings == {"latency": passed}
    assert success == (passed is not False)
    assert judged({"min_speedup": None}, speedup=speed(low, high)) == ({}, True)


def test_noise_is_no_success_unless_labels_or_a_limit_say_so():
    assert judged({}, fidelity=NOISY) == ({"sqnr": False}, False)
    assert judged({}, pair(0.9, 0.9), NOISY) == ({}, True)
    assert judged({"minimum": 4}, fidelity=NOISY) == ({"sqnr": True}, True)


def test_new_nan_is_a_failure():
    broken = {"y": Fidelity("y", 1, 10, sqnr=30.0, non_finite=2, non_finite_differing=1)}
    assert judged({}, fidelity=broken) == ({"outputs": False}, False)


def test_outputs_without_figures_decide_nothing():
    assert judged({"minimum": 20}, fidelity={"y": Fidelity("y", 1, 1, exact=1.0)})[0] == {
        "sqnr": None
    }


def test_a_result_that_is_slower_is_no_success(model_of):
    # One tiny MatMul: conversions cost more than integers save.
    proto = model_of("float[1,8] x", "float[1,8] y", "[m] y = MatMul(x, w)", {"w": (8, 8)})
    feeds = [{"x": np.ones((1, 8), np.float32)}] * 3
    settings = {"calibration": {"method": "min-max"}, "budget": {"min_speedup": 50.0}}
    result = quantize(proto, calibration=feeds, config=Config.model_validate(settings))
    assert not result.success
    assert [(f.subject, f.passed) for f in result.verdict.findings] == [("latency", False)]


def test_labels_judge_the_result(model_of, tmp_path):
    proto = model_of(
        "float[1,8] x", "float[1,8] y", "[m] y = MatMul(x, w)", {"w": np.eye(8, dtype=np.float32)}
    )
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((40, 8)).astype(np.float32)
    labels = inputs.argmax(1)
    labels[:4] = (labels[:4] + 1) % 8
    path = tmp_path / "test.npz"
    np.savez(path, x=inputs, labels=labels)
    settings = {
        "calibration": {"method": "min-max"},
        "evaluate": {"data": str(path), "labels": "labels"},
        "budget": {"max_drop": 0.1, "min_speedup": None},
    }
    result = quantize(proto, calibration=inputs[:, None], config=Config.model_validate(settings))
    before, after = result.accuracy
    assert before.value == pytest.approx(0.9)
    assert after.value >= 0.8
    assert [(f.subject, f.passed) for f in result.verdict.findings] == [("accuracy", True)]
