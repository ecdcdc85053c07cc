"""Results for people (terminal tables) and for programs (JSON)."""

from onnxq.report.benched import benched
from onnxq.report.compared import compared
from onnxq.report.inspected import inspected
from onnxq.report.json_text import json_text, save_json, save_text
from onnxq.report.planned import plan_facts, planned
from onnxq.report.quantized import quantized
from onnxq.report.sensitivity import sensitivity_tables
from onnxq.report.settings import settings_table
from onnxq.report.simplified import simplified
from onnxq.report.summary import summary
from onnxq.report.targets import target_rules, targets_table

__all__ = [
    "benched",
    "compared",
    "inspected",
    "json_text",
    "plan_facts",
    "planned",
    "quantized",
    "save_json",
    "save_text",
    "sensitivity_tables",
    "settings_table",
    "simplified",
    "summary",
    "target_rules",
    "targets_table",
]
