"""The main jobs, from file to verdict."""

from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.quantizing import plan_only, quantize, stored_size
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.verdict import Finding, Verdict

__all__ = [
    "Finding",
    "Progress",
    "QuantizeResult",
    "Sizes",
    "Verdict",
    "plan_only",
    "quantize",
    "silent",
    "stored_size",
]
