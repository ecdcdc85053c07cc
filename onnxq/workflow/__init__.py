"""The main jobs, from file to verdict."""

from onnxq.workflow.benching import Benchmark, bench
from onnxq.workflow.comparing import Comparison, Layer, compare, matching_tensors
from onnxq.workflow.compress_result import CompressResult, StageReport
from onnxq.workflow.compressing import compress
from onnxq.workflow.contents import Contents
from onnxq.workflow.exact_row import rule_names
from onnxq.workflow.finetune_result import FinetuneResult
from onnxq.workflow.finetuning import finetune
from onnxq.workflow.layer_costs import sensitivity
from onnxq.workflow.layer_details import Distribution, LayerDetails, LayerError
from onnxq.workflow.places import check_places, model_files
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.prune_result import Aim, PrunedGroup, PruneResult
from onnxq.workflow.pruning import Gradients, prune
from onnxq.workflow.quantizing import RANDOM_WARNING, plan_only, quantize
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.sensitivity_result import CurvePoint, LayerCost, Sensitivity
from onnxq.workflow.simplify_result import SimplifyResult
from onnxq.workflow.simplifying import simplify
from onnxq.workflow.sizes import stored_size
from onnxq.workflow.sparsify_result import SparsifiedLayer, SparsifyResult
from onnxq.workflow.sparsifying import sparsify
from onnxq.workflow.sparsity import SparsityReport, check_sparsity
from onnxq.workflow.timings import Timings
from onnxq.workflow.trials import Trial
from onnxq.workflow.verdict import Finding, Verdict

__all__ = [
    "RANDOM_WARNING",
    "Aim",
    "Benchmark",
    "Comparison",
    "CompressResult",
    "Contents",
    "CurvePoint",
    "Distribution",
    "Finding",
    "FinetuneResult",
    "Gradients",
    "Layer",
    "LayerCost",
    "LayerDetails",
    "LayerError",
    "Progress",
    "PruneResult",
    "PrunedGroup",
    "QuantizeResult",
    "Sensitivity",
    "SimplifyResult",
    "Sizes",
    "SparsifiedLayer",
    "SparsifyResult",
    "SparsityReport",
    "StageReport",
    "Timings",
    "Trial",
    "Verdict",
    "bench",
    "check_places",
    "check_sparsity",
    "compare",
    "compress",
    "finetune",
    "matching_tensors",
    "model_files",
    "plan_only",
    "prune",
    "quantize",
    "rule_names",
    "sensitivity",
    "silent",
    "simplify",
    "sparsify",
    "stored_size",
]
