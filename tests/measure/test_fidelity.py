from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnxq.errors import DataError
from onnxq.measure import Fidelity, FidelityMeter, compare_outputs

FLOAT_MAX = np.finfo(np.float32).max


def measure(*pairs: tuple[Any, Any]) -> Fidelity:
    meter = FidelityMeter("y")
    for a, b in pairs:
        meter.add(a, b)
    return meter.result()


def test_against_all_samples_at_once() -> None:
    generator = np.random.default_rng(0)
    a = generator.standard_normal((7, 3, 5)).astype(np.float32)
    b = a + generator.normal(0, 0.1, a.shape).astype(np.float32)
    found = measure(*zip(a, b, strict=True))
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    error = wide_a - wide_b
    cosines = [
        np.dot(x.ravel(), y.ravel()) / np.linalg.norm(x) / np.linalg.norm(y)
        for x, y in zip(wide_a, wide_b, strict=True)
    ]
    assert found.samples == 7
    assert found.elements == a.size
    assert found.sqnr == pytest.approx(10 * np.log10((wide_a**2).sum() / (error**2).sum()))
    assert found.cosine == pytest.approx(np.mean(cosines))
    assert found.mse == pytest.approx((error**2).mean())
    assert found.max_error == pytest.approx(np.abs(error).max())
    assert found.agreement == (a.argmax(-1) == b.argmax(-1)).mean()
    assert found.exact is None
    assert found.non_finite == found.shape_mismatches == 0


def test_equal_outputs() -> None:
    value = np.array([[1.0, 2.0]], np.float32)
    found = measure((value, value))
    assert found.sqnr == math.inf
    assert found.cosine == pytest.approx(1.0)
    assert found.mse == found.max_error == 0.0
    assert found.agreement == 1.0


def test_zero_signal() -> None:
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert measure((zeros, ones)).sqnr == -math.inf
    assert measure((zeros, ones)).cosine == 0.0
    assert measure((zeros, zeros)).sqnr == math.inf
    assert measure((zeros, zeros)).cosine == 1.0


def test_masks_near_the_float_maximum_do_not_overflow() -> None:
    a = np.array([-FLOAT_MAX, 1.0], np.float32)
    b = np.array([-FLOAT_MAX, 2.0], np.float32)
    found = measure((a, b))
    assert found.sqnr == pytest.approx(20 * math.log10(float(FLOAT_MAX)))
    assert found.non_finite == 0


def test_equal_infinities_take_no_part() -> None:
    a = np.array([-np.inf, np.nan, 3.0], np.float32)
    b = np.array([-np.inf, np.nan, 4.0], np.float32)
    found = measure((a, b))
    assert (found.non_finite, found.non_finite_differing) == (2, 0)
    assert found.mse == 1.0
    assert found.sqnr == pytest.approx(10 * math.log10(9.0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_became_non_finite_is_an_infinite_error(bad: float) -> None:
    a = np.array([1.0, 2.0], np.float32)
    found = measure((a, a), (a, np.array([1.0, bad], np.float32)))
    assert (found.non_finite, found.non_finite_differing) == (1, 1)
    assert found.sqnr == -math.inf
    assert found.mse == found.max_error == math.inf
    assert found.cosine == pytest.approx(0.5)


def test_integer_outputs() -> None:
    a, b = np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])
    found = measure((a, b))
    assert found.exact == 0.75
    assert found.max_error == 3.0
    assert found.sqnr is found.cosine is found.agreement is None


def test_truth_values() -> None:
    assert measure((np.array([True, False]), np.array([True, True]))).exact == 0.5


def test_bfloat16_counts_as_float() -> None:
    value = np.array([1, 2], ml_dtypes.bfloat16)
    found = measure((value, value.astype(np.float32)))
    assert found.sqnr == math.inf
    assert found.exact is None


def test_different_shapes_are_counted() -> None:
    a, b = np.ones((2, 4), np.float32), np.ones((3, 4), np.float32)
    found = measure((a, b), (a, a))
    assert found.shape_mismatches == 1
    assert found.samples == 1
    assert found.sqnr == math.inf


def test_only_different_shapes() -> None:
    found = measure((np.ones(2), np.ones(3)))
    assert found.shape_mismatches == 1
    assert found.sqnr is found.mse is None


def test_empty_outputs() -> None:
    empty = np.zeros((0, 4), np.float32)
    found = measure((empty, empty))
    assert found.samples == 1
    assert found.elements == 0
    assert found.sqnr is None


def test_scalar_output_has_no_classes() -> None:
    assert measure((np.array(1.0), np.array(1.0))).agreement is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([np.ones(2)], "it is a sequence"),
        ([{0: 1.0}], "it is a sequence of maps"),
        (np.array(["a"]), "its type is <U1"),
        (np.array(["a"], object), "its type is object"),
    ],
)
def test_values_that_cannot_be_compared(value: Any, reason: str) -> None:
    found = measure((value, value))
    assert found.skipped == reason
    assert found.sqnr is None


def test_compare_outputs_by_name() -> None:
    def run_a(feed: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": feed["x"], "only_a": feed["x"]}

    def run_b(feed: Mapping[str, Any]) -> dict[str, Any]:
        return {"only_b": feed["x"], "y": feed["x"] + 1}

    feeds = ({"x": np.array([1.0, float(i)])} for i in range(3))
    found = compare_outputs(run_a, run_b, feeds)
    assert list(found) == ["y", "only_a", "only_b"]
    assert found["y"].samples == 3
    assert found["y"].mse == 1.0
    assert found["only_a"].skipped == "the second model has no output 'only_a'"
    assert found["only_b"].skipped == "the first model has no output 'only_b'"


def test_no_feeds() -> None:
    with pytest.raises(DataError, match="there was no feed"):
        compare_outputs(dict, dict, [])
