"""Interfaces that teams know from other tools, over ONNX models."""

from onnxq.compat.golden_stick import QuantDtype
from onnxq.helpers.classes import AdvancedQuantizationTechniques, QuantizationTechniques
from onnxq.helpers.evaluating import Evaluated, quantize_and_evaluate
from onnxq.helpers.golden_stick import SimulatedQuantizationAwareTraining
from onnxq.helpers.measuring import (
    SizeComparison,
    SpeedBenchmark,
    benchmark_inference_speed,
    compare_model_sizes,
)
from onnxq.helpers.preparing import prepare_model_for_quantization
from onnxq.helpers.techniques import (
    dynamic_quantization,
    fx_graph_mode_quantization,
    knowledge_distillation_quantization,
    mixed_precision_quantization,
    pruning_aware_quantization,
    quantization_aware_training,
    static_quantization,
)

__all__ = [
    "AdvancedQuantizationTechniques",
    "Evaluated",
    "QuantDtype",
    "QuantizationTechniques",
    "SimulatedQuantizationAwareTraining",
    "SizeComparison",
    "SpeedBenchmark",
    "benchmark_inference_speed",
    "compare_model_sizes",
    "dynamic_quantization",
    "fx_graph_mode_quantization",
    "knowledge_distillation_quantization",
    "mixed_precision_quantization",
    "prepare_model_for_quantization",
    "pruning_aware_quantization",
    "quantization_aware_training",
    "quantize_and_evaluate",
    "static_quantization",
]
