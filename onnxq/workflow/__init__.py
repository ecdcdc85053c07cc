"""The main jobs, from file to verdict."""

from onnxq.workflow.benching import Benchmark, bench
from onnxq.workflow.comparing import Comparison, Layer, compare, matching_tensors
from onnxq.workflow.contents import Contents
from onnxq.workflow.exact_row import rule_names
from onnxq.workflow.layer_costs import sensitivity
from onnxq.workflow.places import check_places, model_files
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.quantizing import RANDOM_WARNING, plan_only, quantize
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.sensitivity_result import CurvePoint, LayerCost, Sensitivity
from onnxq.workflow.simplify_result import SimplifyResult
from onnxq.workflow.simplifying import simplify
from onnxq.workflow.sizes import stored_size
from onnxq.workflow.timings import Timings
from onnxq.workflow.trials import Trial
from onnxq.workflow.verdict import Finding, Verdict

__all__ = [
    "RANDOM_WARNING",
    "Benchmark",
    "Comparison",
    "Contents",
    "CurvePoint",
    "Finding",
    "Layer",
    "LayerCost",
    "Progress",
    "QuantizeResult",
    "Sensitivity",
    "SimplifyResult",
    "Sizes",
    "Timings",
    "Trial",
    "Verdict",
    "bench",
    "check_places",
    "compare",
    "matching_tensors",
    "model_files",
    "plan_only",
    "quantize",
    "rule_names",
    "sensitivity",
    "silent",
    "simplify",
    "stored_size",
]
