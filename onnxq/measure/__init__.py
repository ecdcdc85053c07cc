"""Measuring models: accuracy, fidelity, latency, size, work, and what the engine fused."""

from onnxq.measure.accuracy import Accuracy, AccuracyDrop, accuracy_drop, measure_accuracy
from onnxq.measure.bit_operations import count_bit_operations
from onnxq.measure.cost import Cost, NodeCost, Uncounted, count_macs
from onnxq.measure.coverage import Coverage, Kind, PlacedNode, read_optimized
from onnxq.measure.fidelity import (
    SQNR_CAP,
    Fidelity,
    FidelityMeter,
    ImageQuality,
    compare_outputs,
    mean_sqnr,
)
from onnxq.measure.fusion import (
    GroupState,
    RunsInInteger,
    StaysFloat,
    Vanished,
    fused_groups,
    planned_tensors,
)
from onnxq.measure.images import ImageMeter, compare_results, structural_similarity
from onnxq.measure.labels import load_labels
from onnxq.measure.latency import Latency, Speedup, Timing, measure_latency, timed_run
from onnxq.measure.layers import Pair, compare_layers
from onnxq.measure.metrics import (
    MeanSquaredError,
    Metric,
    TopK,
    UserMetric,
    load_scorer,
    parse_metric,
)
from onnxq.measure.parameters import Parameters, Zeros, count_parameters
from onnxq.measure.protos import tensor_bytes
from onnxq.measure.reported import Work, reported_metrics, work_of
from onnxq.measure.size import FileSize, bytes_by_dtype, file_size
from onnxq.measure.summary import Port, Summary, summarize

__all__ = [
    "SQNR_CAP",
    "Accuracy",
    "AccuracyDrop",
    "Cost",
    "Coverage",
    "Fidelity",
    "FidelityMeter",
    "FileSize",
    "GroupState",
    "ImageMeter",
    "ImageQuality",
    "Kind",
    "Latency",
    "MeanSquaredError",
    "Metric",
    "NodeCost",
    "Pair",
    "Parameters",
    "PlacedNode",
    "Port",
    "RunsInInteger",
    "Speedup",
    "StaysFloat",
    "Summary",
    "Timing",
    "TopK",
    "Uncounted",
    "UserMetric",
    "Vanished",
    "Work",
    "Zeros",
    "accuracy_drop",
    "bytes_by_dtype",
    "compare_layers",
    "compare_outputs",
    "compare_results",
    "count_bit_operations",
    "count_macs",
    "count_parameters",
    "file_size",
    "fused_groups",
    "load_labels",
    "load_scorer",
    "mean_sqnr",
    "measure_accuracy",
    "measure_latency",
    "parse_metric",
    "planned_tensors",
    "read_optimized",
    "reported_metrics",
    "structural_similarity",
    "summarize",
    "tensor_bytes",
    "timed_run",
    "work_of",
]
