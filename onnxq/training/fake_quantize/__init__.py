"""Fake quantization: training sees the rounding that the quantized model will have."""

from onnxq.training.fake_quantize.biases import FakeQuantizeBias
from onnxq.training.fake_quantize.grids import (
    ClippedAbove,
    FixedGrid,
    GridModule,
    LearnedClips,
    LearnedStep,
    LearnedStepAndOffset,
)
from onnxq.training.fake_quantize.grouping import Grouping
from onnxq.training.fake_quantize.making import activation_quantizer, weight_quantizer
from onnxq.training.fake_quantize.phases import DecideRounding, RoundingPhases
from onnxq.training.fake_quantize.quantizers import FakeQuantize
from onnxq.training.fake_quantize.rounding import Grid, fake_quantize
from onnxq.training.fake_quantize.weights import (
    RangeOfWeight,
    RoundedUpOrDown,
    TanhWeight,
    WeightQuantizer,
)

__all__ = [
    "ClippedAbove",
    "DecideRounding",
    "FakeQuantize",
    "FakeQuantizeBias",
    "FixedGrid",
    "Grid",
    "GridModule",
    "Grouping",
    "LearnedClips",
    "LearnedStep",
    "LearnedStepAndOffset",
    "RangeOfWeight",
    "RoundedUpOrDown",
    "RoundingPhases",
    "TanhWeight",
    "WeightQuantizer",
    "activation_quantizer",
    "fake_quantize",
    "weight_quantizer",
]
