"""From the names of methods to the modules that carry them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from onnxq.config import ActivationLearning, WeightLearning
from onnxq.quant import QParams
from onnxq.training.fake_quantize.grids import (
    ClippedAbove,
    FixedGrid,
    GridModule,
    LearnedClips,
    LearnedStep,
    LearnedStepAndOffset,
)
from onnxq.training.fake_quantize.quantizers import FakeQuantize
from onnxq.training.fake_quantize.weights import (
    RangeOfWeight,
    RoundedUpOrDown,
    TanhWeight,
    WeightQuantizer,
)


def activation_quantizer(
    method: ActivationLearning, start: QParams, high: float | None = None
) -> FakeQuantize:
    """The module of an activation.

    Args:
        method: How its grid is learned.
        start: Scale and zero point that calibration found.
        high: Value that no code may pass, where a Clip of the model ends; it must hold for
            `start`.
    """
    steps = start.scheme.maximum - int(start.zero_point)
    largest = float("inf") if high is None or not steps else max(float(start.scale), high / steps)
    return FakeQuantize(_ACTIVATIONS[method](start, largest))


def weight_quantizer(
    method: WeightLearning, weight: NDArray[Any], start: QParams
) -> WeightQuantizer:
    """The module of a weight.

    Args:
        method: How it is learned.
        weight: float32, its values at the start.
        start: Scale and zero point of the plan's scheme for it.
    """
    return _WEIGHTS[method](weight, start)


def _from_below(start: QParams) -> bool:
    """Whether the lowest code is zero, as behind a Relu, and shall stay so."""
    return bool((start.zero_point.astype(int) == start.scheme.minimum).all())


def _lsq_plus(start: QParams, largest: float) -> GridModule:
    free = not start.scheme.symmetric and not _from_below(start)
    return (LearnedStepAndOffset if free else LearnedStep)(start, largest)


def _ulq(start: QParams, largest: float) -> GridModule:
    return LearnedClips(start, largest, fixed_min=_from_below(start))


_ACTIVATIONS: Mapping[ActivationLearning, Callable[[QParams, float], GridModule]] = {
    "ste": FixedGrid,
    "lsq": LearnedStep,
    "lsq+": _lsq_plus,
    "pact": ClippedAbove,
    "ulq": _ulq,
}


def _tanh(weight: NDArray[Any], start: QParams) -> WeightQuantizer:
    return TanhWeight(FixedGrid(start), torch.from_numpy(weight.copy()))


def _adaround(weight: NDArray[Any], start: QParams) -> WeightQuantizer:
    return RoundedUpOrDown(FixedGrid(start), torch.from_numpy(weight.copy()))


_WEIGHTS: Mapping[WeightLearning, Callable[[NDArray[Any], QParams], WeightQuantizer]] = {
    "ste": lambda _, start: WeightQuantizer(FixedGrid(start)),
    "lsq": lambda _, start: WeightQuantizer(LearnedStep(start)),
    "ulq": lambda _, start: WeightQuantizer(LearnedStep(start), masked=False),
    "arq": lambda _, start: RangeOfWeight(FixedGrid(start)),
    "dorefa": _tanh,
    "adaround": _adaround,
}
