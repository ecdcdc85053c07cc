"""Results for people (terminal tables) and for programs (JSON)."""

from onnxq.report.benched import benched
from onnxq.report.compared import compared
from onnxq.report.compressed import compressed
from onnxq.report.explained import explained
from onnxq.report.finetuned import finetuned
from onnxq.report.groups import groups_facts, groups_tables
from onnxq.report.inspected import inspected
from onnxq.report.json_text import json_text, save_json, save_text
from onnxq.report.planned import plan_facts, planned
from onnxq.report.pruned import pruned, pruned_summary
from onnxq.report.quantized import quantized
from onnxq.report.reporting import save_report, wants_page
from onnxq.report.searched import searched
from onnxq.report.sensitivity import sensitivity_tables
from onnxq.report.settings import settings_table
from onnxq.report.simplified import simplified
from onnxq.report.sparsified import sparsified
from onnxq.report.sparsity import sparsity_tables
from onnxq.report.summary import summary
from onnxq.report.targets import target_rules, targets_table

__all__ = [
    "benched",
    "compared",
    "compressed",
    "explained",
    "finetuned",
    "groups_facts",
    "groups_tables",
    "inspected",
    "json_text",
    "plan_facts",
    "planned",
    "pruned",
    "pruned_summary",
    "quantized",
    "save_json",
    "save_report",
    "save_text",
    "searched",
    "sensitivity_tables",
    "settings_table",
    "simplified",
    "sparsified",
    "sparsity_tables",
    "summary",
    "target_rules",
    "targets_table",
    "wants_page",
]
