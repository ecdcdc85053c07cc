"""From the ranges of activations to their scales and zero points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onnxq.plan import Activation, Plan
from onnxq.quant import QParams, Scheme, choose_qparams

Interval = tuple[float, float]


def activation_parameters(plan: Plan, ranges: Mapping[str, Interval]) -> dict[str, QParams]:
    """Scale and zero point of every quantized activation.

    A range is first cut to the tensor's own bounds (Relu, Clip); tensors of one tie then get
    the union of their ranges, and the same parameters.

    Args:
        plan: The plan.
        ranges: (low, high) by tensor name; every activation of the plan must have one.
    """
    cut = {name: _cut(ranges[name], a) for name, a in plan.activations.items()}
    for names in plan.ties.values():
        low = min(cut[name][0] for name in names)
        high = max(cut[name][1] for name in names)
        cut.update((name, (low, high)) for name in names)
    return {
        name: _within_bounds(choose_qparams(a.scheme, *cut[name]), a)
        for name, a in plan.activations.items()
    }


def _cut(interval: Interval, activation: Activation) -> Interval:
    low, high = min(interval[0], 0.0), max(interval[1], 0.0)
    if activation.low is not None:
        low = max(low, activation.low)
    if activation.high is not None:
        high = min(high, activation.high)
    return low, high


def _within_bounds(parameters: QParams, activation: Activation) -> QParams:
    """Shave the last bit of a scale whose outermost code would pass a bound.

    An engine drops a Clip only if no code decodes beyond it; rounding the scale to float32
    can push the highest code over by one unit in the last place.
    """
    scheme: Scheme = parameters.scheme
    scale = np.float32(parameters.scale)
    zero = int(parameters.zero_point)
    for bound, code in ((activation.high, scheme.maximum), (activation.low, scheme.minimum)):
        if bound is None or scheme.symmetric:
            continue
        while abs(np.float32(code - zero) * scale) > abs(np.float32(bound)) > 0:
            scale = np.nextafter(scale, np.float32(0))
    return replace(parameters, scale=np.asarray(scale))
