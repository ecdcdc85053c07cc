"""Ranges and scales of a plan's activations, from what calibration saw."""

from __future__ import annotations

import numpy as np

from onnxq.calibration import (
    RangeRequest,
    Ranges,
    Statistics,
    activation_parameters,
    estimate_ranges,
)
from onnxq.config import RangeMethod
from onnxq.measure import mean_sqnr
from onnxq.plan import Activation, Plan
from onnxq.quant import QParams

__all__ = ["mean_sqnr", "parameters_of", "ranges_of"]


def ranges_of(plan: Plan, statistics: Statistics, method: RangeMethod, feeds: str) -> Ranges:
    """The range of every activation in a plan.

    Args:
        plan: What is quantized.
        statistics: What calibration saw, with histograms if `method` reads them.
        method: How a range is found.
        feeds: Where the samples came from, to be noted in the ranges.
    """
    requests = {
        name: RangeRequest(method, activation.scheme, _bounds(activation))
        for name, activation in plan.activations.items()
    }
    return estimate_ranges(statistics, requests, model=plan.model, feeds=feeds)


def _bounds(activation: Activation) -> tuple[float, float]:
    low, high = activation.low, activation.high
    return (-np.inf if low is None else low, np.inf if high is None else high)


def parameters_of(plan: Plan, ranges: Ranges) -> dict[str, QParams]:
    """Scale and zero point of every activation in the plan."""
    return activation_parameters(plan, {n: (r.low, r.high) for n, r in ranges.ranges.items()})
