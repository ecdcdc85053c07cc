"""Results for people (terminal tables) and for programs (JSON)."""

from onnxq.report.inspected import inspected
from onnxq.report.json_text import json_text, save_json
from onnxq.report.planned import plan_facts, planned
from onnxq.report.quantized import quantized
from onnxq.report.summary import summary

__all__ = [
    "inspected",
    "json_text",
    "plan_facts",
    "planned",
    "quantized",
    "save_json",
    "summary",
]
