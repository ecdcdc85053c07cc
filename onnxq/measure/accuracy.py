"""How often a model is right: a metric over a stream of labelled inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, Run
from onnxq.errors import DataError, UsageError
from onnxq.measure.metrics import MeanSquaredError, Metric, TopK, UserMetric


@dataclass(frozen=True)
class Accuracy:
    """The score of a model.

    Attributes:
        metric: Name of the metric.
        value: The score: a fraction for top-k, else in the metric's own unit.
        samples: Number of labelled samples.
        standard_error: Standard error of a top-k score, sqrt(p (1 - p) / n), the binomial
            one; None for other metrics.
        higher_is_better: Direction of the metric.
        hits: Per decision whether it was right, for top-k; empty for other metrics.
    """

    metric: str
    value: float
    samples: int
    standard_error: float | None
    higher_is_better: bool
    hits: NDArray[np.bool_] = field(repr=False, compare=False)


@dataclass(frozen=True)
class AccuracyDrop:
    """How much worse one model is than another on the same samples.

    Attributes:
        value: Positive if the second model is worse, in the metric's own unit.
        standard_error: Of a top-k drop, from the paired decisions; None if not known. Much
            smaller than the errors of the two scores suggest, because both models are wrong
            about mostly the same samples.
    """

    value: float
    standard_error: float | None


def measure_accuracy(
    run: Run,
    feeds: Iterable[Feed],
    labels: NDArray[Any],
    metric: Metric,
    *,
    output: str | None = None,
) -> Accuracy:
    """Score a model on labelled samples.

    Top-k takes scores [N, C] (further axes of size 1 allowed) with labels [N] or [N, 1], or
    scores [N, ..., C] with labels [N, ...]; an output without batch axis is one sample. For
    `mse` labels have the shape of the output. A user's metric gets the labels of as many
    samples as the first input's first axis holds.

    Args:
        run: Runs the model once.
        feeds: The inputs in the order of the labels; each may be a batch.
        labels: One label per sample.
        metric: What to measure.
        output: Name of the scored output; the first one by default.

    Raises:
        DataError: if samples and labels differ in number or do not fit the output.
        UsageError: if the model has no such output.
    """
    tally = _Tally()
    for feed in feeds:
        outputs = run(feed)
        scored = _scored_output(outputs, output)
        count = _samples(feed, scored, metric)
        batch = labels[tally.samples : tally.samples + count]
        if len(batch) < count:
            raise _mismatch(tally.samples + count, len(labels), "at least ")
        tally.add(count, *_score(metric, outputs, scored, batch))
    if tally.samples != len(labels) or not tally.samples:
        raise _mismatch(tally.samples, len(labels), "")
    value = tally.total / tally.samples
    hits = np.concatenate(tally.hits) if tally.hits else np.zeros(0, bool)
    error = math.sqrt(value * (1.0 - value) / hits.size) if hits.size else None
    return Accuracy(metric.name, value, tally.samples, error, metric.higher_is_better, hits)


def accuracy_drop(before: Accuracy, after: Accuracy) -> AccuracyDrop:
    """The loss from `before` to `after`, both measured on the same samples.

    Raises:
        UsageError: if the metrics differ.
    """
    if before.metric != after.metric:
        raise UsageError(
            f"accuracies in {before.metric} and {after.metric} cannot be compared",
            remedy="measure both with the same metric",
        )
    direction = 1.0 if before.higher_is_better else -1.0
    drop = direction * (before.value - after.value)
    if not before.hits.size or before.hits.size != after.hits.size:
        return AccuracyDrop(drop, None)
    change = before.hits.astype(np.float64) - after.hits
    return AccuracyDrop(drop, float(change.std() / math.sqrt(change.size)))


@dataclass
class _Tally:
    samples: int = 0
    total: float = 0.0
    hits: list[NDArray[np.bool_]] = field(default_factory=list)

    def add(self, count: int, mean: float, hits: NDArray[np.bool_] | None) -> None:
        self.samples += count
        self.total += mean * count
        if hits is not None:
            self.hits.append(hits)


def _score(
    metric: Metric,
    outputs: Mapping[str, NDArray[Any]],
    scored: NDArray[Any],
    labels: NDArray[Any],
) -> tuple[float, NDArray[np.bool_] | None]:
    """Mean score of a batch, and for top-k the single decisions."""
    match metric:
        case TopK(k):
            hits = _top_hits(scored, labels, k)
            return float(hits.mean()), hits
        case MeanSquaredError():
            return _squared_error(scored, labels), None
        case UserMetric(name, score):
            return _user_score(name, score(outputs, labels)), None


def _top_hits(scores: NDArray[Any], labels: NDArray[Any], k: int) -> NDArray[np.bool_]:
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        raise DataError("labels are not class indices", why="top-k needs whole numbers")
    labels = labels.reshape(-1) if labels.size == len(labels) else labels
    scores = _score_rows(scores) if labels.ndim == 1 else scores
    if scores.shape[:-1] != labels.shape:
        raise DataError(
            f"labels of shape {list(labels.shape)} do not fit scores {list(scores.shape)}",
            remedy="give one class index per row of scores",
        )
    classes = scores.shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"label {int(labels.max())} is no index into {classes} scores",
            remedy="count classes from 0, and check which output is scored",
        )
    # Rank of the label's score: ties count against it, except those of later classes, so
    # that top-1 is the argmax. NaN never wins.
    own = np.take_along_axis(scores, labels[..., None].astype(np.int64), axis=-1)
    earlier = np.arange(classes) < labels[..., None]
    ahead = (scores > own) | ((scores == own) & earlier)
    return np.asarray((ahead.sum(axis=-1) < k) & ~np.isnan(own[..., 0])).reshape(-1)


def _score_rows(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores as [N, C], where that only takes dropping or adding axes of size 1."""
    if scores.ndim < _BATCHED:
        return scores.reshape(1, -1)
    rows = scores.reshape(len(scores), -1)
    return rows if rows.shape[1] in scores.shape[1:] else scores


def _squared_error(scored: NDArray[Any], targets: NDArray[Any]) -> float:
    if scored.size != targets.size:
        raise DataError(
            f"targets of shape {list(targets.shape)} do not fit outputs {list(scored.shape)}",
            remedy="store one target per output element",
        )
    difference = scored.astype(np.float64) - targets.astype(np.float64).reshape(scored.shape)
    return float(np.mean(difference**2))


def _user_score(name: str, value: object) -> float:
    if not isinstance(value, int | float | np.number | np.ndarray) or np.size(value) != 1:
        raise DataError(
            f"it returned {type(value).__name__} instead of a number",
            where=f"metric '{name}'",
            remedy="return the mean score of the batch as a float",
        )
    return float(np.asarray(value).reshape(()))


def _samples(feed: Feed, scored: NDArray[Any], metric: Metric) -> int:
    if isinstance(metric, UserMetric):
        first = next(iter(feed.values()))
        return len(first) if first.ndim else 1
    return len(scored) if scored.ndim >= _BATCHED else _rows_of_flat(scored, metric)


def _rows_of_flat(scored: NDArray[Any], metric: Metric) -> int:
    """Samples of an output with at most one axis: class scores of one, or one value each."""
    return 1 if isinstance(metric, TopK) or scored.ndim == 0 else len(scored)


_BATCHED = 2


def _scored_output(outputs: Mapping[str, NDArray[Any]], name: str | None) -> NDArray[Any]:
    chosen = name if name is not None else next(iter(outputs))
    if chosen not in outputs:
        raise UsageError(
            f"the model has no output '{chosen}'",
            where="evaluate.output",
            why=f"it has {', '.join(outputs)}",
        )
    return outputs[chosen]


def _mismatch(samples: int, labels: int, bound: str) -> DataError:
    return DataError(
        f"there are {bound}{samples} samples and {labels} labels",
        where="evaluate.labels",
        remedy="give one label per sample, in the same order",
    )
