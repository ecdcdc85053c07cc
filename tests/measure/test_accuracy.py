from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.errors import ConfigError, DataError, UsageError
from onnxq.measure import (
    MeanSquaredError,
    TopK,
    UserMetric,
    accuracy_drop,
    load_scorer,
    measure_accuracy,
    parse_metric,
)


def echo(feed: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"scores": feed["x"], "double": 2 * feed["x"]}


def batches(scores: np.ndarray[Any, Any], size: int) -> list[dict[str, Any]]:
    return [{"x": scores[i : i + size]} for i in range(0, len(scores), size)]


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 5))
def test_top_k_against_sorting(seed: int, k: int, batch: int) -> None:
    generator = np.random.default_rng(seed)
    # Few levels, so that ties occur.
    scores = generator.integers(0, 4, (11, 6)).astype(np.float32)
    labels = generator.integers(0, 6, 11)
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected = np.mean([label in row for label, row in zip(labels, ranked, strict=True)])
    found = measure_accuracy(echo, batches(scores, batch), labels, TopK(k))
    assert found.value == pytest.approx(expected)
    assert found.samples == 11
    assert found.standard_error == pytest.approx(math.sqrt(expected * (1 - expected) / 11))


def test_scores_with_image_axes_and_column_labels() -> None:
    scores = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    labels = np.array([[0], [1], [0]])
    assert measure_accuracy(echo, batches(scores, 2), labels, TopK()).value == pytest.approx(2 / 3)


def test_labels_per_position() -> None:
    scores = np.zeros((2, 3, 4), np.float32)
    scores[..., 2] = 1
    labels = np.array([[2, 2, 0], [2, 1, 2]])
    found = measure_accuracy(echo, batches(scores, 1), labels, TopK())
    assert found.value == pytest.approx(4 / 6)
    assert found.samples == 2
    assert found.hits.size == 6


def test_output_without_a_batch_axis() -> None:
    feeds = [{"x": np.array([0.0, 1.0])}, {"x": np.array([1.0, 0.0])}]
    assert measure_accuracy(echo, feeds, np.array([1, 1]), TopK()).value == 0.5


def test_nan_scores_are_never_right() -> None:
    scores = np.full((1, 3), np.nan, np.float32)
    assert measure_accuracy(echo, batches(scores, 1), np.array([0]), TopK()).value == 0.0


def test_mean_squared_error() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    targets = values + np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = measure_accuracy(echo, batches(values, 2), targets, MeanSquaredError())
    assert found.value == pytest.approx(5 / 6)
    assert found.standard_error is None
    assert not found.higher_is_better


def test_user_metric_is_weighted_by_batch() -> None:
    def score(outputs: Mapping[str, Any], labels: Any) -> float:
        return float(np.mean(outputs["double"][:, 0] == 2 * labels))

    metric = UserMetric("mine", score)
    scores = np.array([[0.0], [1.0], [9.0]])
    found = measure_accuracy(echo, batches(scores, 2), np.array([0, 1, 2]), metric)
    assert found.value == pytest.approx(2 / 3)
    assert found.metric == "mine"


def test_user_metric_must_return_a_number() -> None:
    metric = UserMetric("mine", lambda outputs, labels: "good")  # type: ignore[arg-type,return-value]
    with pytest.raises(DataError, match="it returned str instead of a number"):
        measure_accuracy(echo, batches(np.ones((1, 2)), 1), np.array([0]), metric)


def test_chosen_output() -> None:
    scores = np.array([[0.0, 1.0]])
    found = measure_accuracy(
        echo, batches(scores, 1), 2 * scores, MeanSquaredError(), output="double"
    )
    assert found.value == 0.0
    with pytest.raises(UsageError, match="no output 'none'; it has scores, double"):
        measure_accuracy(echo, batches(scores, 1), scores, TopK(), output="none")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "at least 3 samples and 2 labels"),
        ([0, 1, 2, 3], "3 samples and 4 labels"),
        ([0, 1, 7], "label 7 is no index into 3 scores"),
        ([0, 1, -1], "is no index into 3 scores"),
        ([0.5, 1.0, 1.0], "labels are not class indices"),
        ([[0, 1], [0, 1], [0, 1]], "do not fit scores"),
    ],
)
def test_labels_that_do_not_fit(labels: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure_accuracy(echo, batches(np.eye(3), 3), np.array(labels), TopK())


def test_one_label_for_a_map_of_scores_is_refused() -> None:
    with pytest.raises(DataError, match="do not fit scores"):
        measure_accuracy(echo, [{"x": np.ones((1, 2, 3))}], np.array([0]), TopK())


def test_no_samples() -> None:
    with pytest.raises(DataError, match="0 samples and 0 labels"):
        measure_accuracy(echo, [], np.zeros(0, np.int64), TopK())


def test_paired_drop() -> None:
    labels = np.zeros(100, np.int64)
    good = np.zeros((100, 2))
    good[:, 0] = 1
    worse = good.copy()
    worse[:10] = worse[:10, ::-1]
    before = measure_accuracy(echo, batches(good, 30), labels, TopK())
    after = measure_accuracy(echo, batches(worse, 30), labels, TopK())
    drop = accuracy_drop(before, after)
    assert drop.value == pytest.approx(0.1)
    assert drop.standard_error == pytest.approx(math.sqrt(0.1 * 0.9 / 100))
    assert accuracy_drop(after, after).standard_error == 0.0


def test_drop_of_a_metric_where_less_is_better() -> None:
    values = np.zeros((2, 2))
    before = measure_accuracy(echo, batches(values, 2), values, MeanSquaredError())
    after = measure_accuracy(echo, batches(values, 2), values + 1, MeanSquaredError())
    assert accuracy_drop(before, after).value == 1.0
    assert accuracy_drop(before, after).standard_error is None


def test_drop_of_different_metrics() -> None:
    values = np.eye(2)
    one = measure_accuracy(echo, batches(values, 2), np.array([0, 1]), TopK(1))
    two = measure_accuracy(echo, batches(values, 2), np.array([0, 1]), TopK(2))
    with pytest.raises(UsageError, match="cannot be compared"):
        accuracy_drop(one, two)


def test_parse_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scores.py").write_text("def half(outputs, labels): return 0.5\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert parse_metric("top-5") == TopK(5)
    assert parse_metric("mse") == MeanSquaredError()
    metric = parse_metric("my_scores:half")
    assert isinstance(metric, UserMetric)
    assert metric.score({}, np.zeros(1)) == 0.5
    assert sys.path == path
    monkeypatch.delitem(sys.modules, "my_scores")


@pytest.mark.parametrize("text", ["top-0", "top", "accuracy", ""])
def test_unknown_metric(text: str) -> None:
    with pytest.raises(ConfigError, match="is no metric"):
        parse_metric(text)


def test_scorers_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poor_scores.py").write_text("number = 3\n")
    (tmp_path / "broken_scores.py").write_text("import not_there_at_all\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="has no function 'number'"):
        load_scorer("poor_scores:number")
    with pytest.raises(ConfigError, match="No module named 'not_there_at_all'"):
        load_scorer("broken_scores:score")
    with pytest.raises(ConfigError, match="No module named 'missing_scores'"):
        load_scorer("missing_scores:score")
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_scorer(":score")
    monkeypatch.delitem(sys.modules, "poor_scores")
