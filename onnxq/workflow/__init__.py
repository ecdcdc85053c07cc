"""The main jobs, from file to verdict."""

from onnxq.workflow.choosing import Trial
from onnxq.workflow.places import check_places, model_files
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.quantizing import RANDOM_WARNING, plan_only, quantize, stored_size
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.verdict import Finding, Verdict

__all__ = [
    "RANDOM_WARNING",
    "Finding",
    "Progress",
    "QuantizeResult",
    "Sizes",
    "Trial",
    "Verdict",
    "check_places",
    "model_files",
    "plan_only",
    "quantize",
    "silent",
    "stored_size",
]
