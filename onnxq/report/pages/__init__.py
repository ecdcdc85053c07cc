"""One page per command: each turns a result into a short list of parts."""

from onnxq.report.pages.checked import checked_page
from onnxq.report.pages.compared import compared_page
from onnxq.report.pages.compressed import compressed_page
from onnxq.report.pages.environment import environment
from onnxq.report.pages.finetuned import finetuned_page
from onnxq.report.pages.pruned import pruned_page
from onnxq.report.pages.quantized import quantized_page
from onnxq.report.pages.searched import searched_page
from onnxq.report.pages.sensitivity import sensitivity_page
from onnxq.report.pages.simplified import simplified_page
from onnxq.report.pages.sparsified import sparsified_page

__all__ = [
    "checked_page",
    "compared_page",
    "compressed_page",
    "environment",
    "finetuned_page",
    "pruned_page",
    "quantized_page",
    "searched_page",
    "sensitivity_page",
    "simplified_page",
    "sparsified_page",
]
