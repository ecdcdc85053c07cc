"""Quantize a model, and measure it on test data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import open_feeds
from onnxq.engine import input_specs, open_session, runner
from onnxq.graph import Model
from onnxq.helpers.models import Result, as_model, is_torch_module
from onnxq.helpers.preparing import prepare_model_for_quantization
from onnxq.measure import (
    Accuracy,
    Fidelity,
    Latency,
    compare_results,
    measure_accuracy,
    parse_metric,
    reported_metrics,
)
from onnxq.workflow.sizes import stored_size, work_of_both
from onnxq.workflow.verifying import time_both


@dataclass(frozen=True)
class Evaluated:
    """A quantized model, and how it stands beside the original on test data.

    Attributes:
        result: What the quantization returned; `result.model` is the model.
        fidelity: Differences of the outputs, by output.
        accuracy: (original, quantized) if there were labels.
        latency: Of both, measured in turns.
        metrics: The metrics that reports name: acc_validation, model_size, Computational_cost,
            inference_speed, Quant_error, Perceptual_quality.
    """

    result: Result = field(repr=False)
    fidelity: Mapping[str, Fidelity]
    accuracy: tuple[Accuracy, Accuracy] | None
    latency: Latency
    metrics: Mapping[str, Any]

    @property
    def model(self) -> Model:
        """The quantized model."""
        return self.result.model


def quantize_and_evaluate(
    model: Any,
    test_data: object,
    technique: str = "dynamic",
    *,
    labels: NDArray[Any] | None = None,
    metric: str = "top-1",
    **kwargs: Any,
) -> Evaluated:
    """Quantize a model, and measure it on test data, which nothing is learned from.

    Args:
        model: The model.
        test_data: Samples as `onnxq.quantize` takes them, or pairs of inputs and labels, such as
            a DataLoader gives.
        technique: As for `prepare_model_for_quantization`.
        labels: Labels in the order of the samples, where `test_data` holds none.
        metric: What accuracy means: top-1, top-5, mse or `module:function`.
        kwargs: Further arguments of the technique's function.

    Raises:
        ValueError: if there is no such technique.
        DataError: if the samples do not fit the model.
    """
    original = as_model(model, kwargs.get("example_inputs"))
    given = model if is_torch_module(model) and technique == "fx" else original
    result = prepare_model_for_quantization(given, technique, **kwargs)
    sessions = open_session(original), open_session(result.model)
    runs = runner(sessions[0]), runner(sessions[1])
    specs = input_specs(sessions[0])
    samples, found = _split(test_data, len(specs))
    labels = found if labels is None else np.asarray(labels)
    feeds = [dict(feed) for feed in open_feeds(samples, specs)]
    fidelity = compare_results(*runs, feeds)
    accuracy = None
    if labels is not None:
        wanted = parse_metric(metric)
        before, after = (measure_accuracy(run, feeds, labels, wanted) for run in runs)
        accuracy = before, after
    latency = time_both(original, result.model, feeds[0], threads=1)
    metrics = reported_metrics(
        accuracy=None if accuracy is None else accuracy[1],
        sizes=(stored_size(original), stored_size(result.model)),
        work=work_of_both(original, result.model),
        latency=latency,
        fidelity=fidelity,
    )
    return Evaluated(result, fidelity, accuracy, latency, metrics)


def _split(test_data: object, inputs: int) -> tuple[object, NDArray[Any] | None]:
    """Samples and labels, where each item is a pair of them."""
    if isinstance(test_data, str | Mapping) or hasattr(test_data, "__array__"):
        return test_data, None
    if not isinstance(test_data, Iterable):
        return test_data, None
    items = list(test_data)
    if not items or not all(_is_pair(item, inputs) for item in items):
        return items, None
    labels = [np.atleast_1d(np.asarray(item[-1])) for item in items]
    samples = [item[0] if len(item) == inputs + 1 == 2 else tuple(item[:-1]) for item in items]
    return samples, np.concatenate(labels)


def _is_pair(item: Any, inputs: int) -> bool:
    """Whether an item holds the inputs, one by one or as a mapping, and labels."""
    if not isinstance(item, list | tuple):
        return False
    return len(item) == inputs + 1 or (len(item) == 2 and isinstance(item[0], Mapping))
