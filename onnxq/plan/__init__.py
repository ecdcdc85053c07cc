"""(graph, target, configuration) → Plan: what becomes of every tensor, and why."""

from onnxq.plan.decisions import (
    DYNAMIC,
    WEIGHTS_ONLY,
    Absorbed,
    Activation,
    Bias,
    Float,
    Integer,
    NodeDecision,
    Operand,
    Plan,
    Rows,
    Shield,
    Use,
    Weight,
)
from onnxq.plan.explaining import Fact, explain
from onnxq.plan.learning import Learning, computing_nodes, resolve_learning
from onnxq.plan.planning import kept_float, make_plan
from onnxq.plan.settings import matching_nodes

__all__ = [
    "DYNAMIC",
    "WEIGHTS_ONLY",
    "Absorbed",
    "Activation",
    "Bias",
    "Fact",
    "Float",
    "Integer",
    "Learning",
    "NodeDecision",
    "Operand",
    "Plan",
    "Rows",
    "Shield",
    "Use",
    "Weight",
    "computing_nodes",
    "explain",
    "kept_float",
    "make_plan",
    "matching_nodes",
    "resolve_learning",
]
