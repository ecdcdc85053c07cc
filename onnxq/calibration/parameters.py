"""From the ranges of activations to their scales and zero points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxq.plan import Activation, Plan
from onnxq.quant import QParams, Scheme, choose_qparams, half_below

Interval = tuple[float, float]


def activation_parameters(plan: Plan, ranges: Mapping[str, Interval]) -> dict[str, QParams]:
    """Scale and zero point of every quantized activation.

    A range is first replaced by what the user named, if anything, and cut to the tensor's own
    bounds (Relu, Clip); tensors of one tie then get
    the union of their ranges, and the same parameters.

    Args:
        plan: The plan.
        ranges: (low, high) by tensor name; every activation of the plan must have one.
    """
    cut = {name: _cut(ranges[name], a) for name, a in plan.activations.items()}
    alone = [[name] for name, a in plan.activations.items() if a.tie is None]
    found: dict[str, QParams] = {}
    for names in (*alone, *plan.ties.values()):
        shared = _shared([cut[name] for name in names], [plan.activations[name] for name in names])
        found.update(dict.fromkeys(names, shared))
    return {name: found[name] for name in plan.activations}


def _cut(interval: Interval, activation: Activation) -> Interval:
    given = activation.given or (None, None)
    low, high = (seen if end is None else end for seen, end in zip(interval, given, strict=True))
    low, high = min(low, 0.0), max(high, 0.0)
    if activation.low is not None:
        low = max(low, activation.low)
    if activation.high is not None:
        high = min(high, activation.high)
    return low, high


def _shared(intervals: Sequence[Interval], activations: Sequence[Activation]) -> QParams:
    """The parameters of tensors that have one scale."""
    low = min(interval[0] for interval in intervals)
    high = max(interval[1] for interval in intervals)
    parameters = choose_qparams(activations[0].scheme, low, high)
    # A bound that the others of the tie pass anyway cannot be kept.
    ends = [a.high for a in activations if a.high is not None and high <= a.high]
    ends += [a.low for a in activations if a.low is not None and low >= a.low]
    return _within(parameters, [end for end in ends if end])


def _within(parameters: QParams, ends: Sequence[float]) -> QParams:
    """Lower a scale until its outermost codes do not pass the ends.

    An engine drops a Clip only if no code decodes beyond it; rounding the zero point, or the
    scale to float32, can push the outermost code over.
    """
    scheme: Scheme = parameters.scheme
    if scheme.symmetric or scheme.power_of_two:
        return parameters
    scale, zero = np.float32(parameters.scale), int(parameters.zero_point)
    for end in ends:
        steps = np.float32(abs((scheme.maximum if end > 0 else scheme.minimum) - zero))
        if steps:
            scale = _allowed(scheme, min(scale, np.float32(abs(end)) / steps))
        while steps * scale > np.float32(abs(end)):
            scale = _allowed(scheme, np.nextafter(scale, np.float32(0)))
    return replace(parameters, scale=np.asarray(scale))


def _allowed(scheme: Scheme, scale: np.float32) -> np.float32:
    """The largest scale the scheme allows that is no larger."""
    return np.float32(half_below(scale)) if scheme.half_scales else scale
