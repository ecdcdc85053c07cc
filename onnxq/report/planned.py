"""A plan, shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from onnxq.graph import Model
from onnxq.plan import DYNAMIC, WEIGHTS_ONLY, Absorbed, Float, Integer, NodeDecision, Plan
from onnxq.report.staying_float import float_groups, float_table, operators
from onnxq.report.tables import facts, table


def planned(plan: Plan, model: Model, *, every_node: bool) -> list[RenderableType]:
    """A plan for people.

    Args:
        plan: The plan.
        model: The prepared model it belongs to.
        every_node: Whether each node gets a line of its own.
    """
    ops = operators(model)
    parts: list[RenderableType] = [_overview(plan, model)]
    integer = Counter((ops[name], _kind(d)) for name, d in plan.integer_nodes.items())
    if integer:
        rows = [(str(n), op, kind) for (op, kind), n in integer.most_common()]
        columns = (">nodes", "operator", "data")
        parts.append(table(f"Runs in integers ({integer.total()})", columns, rows))
    groups = float_groups(plan, ops)
    if groups:
        parts.append(float_table(groups))
    if every_node:
        rows_of_nodes = [(name, ops[name], describe(d)) for name, d in plan.nodes.items()]
        parts.append(table("Every node", ("node", "operator", "decision"), rows_of_nodes))
    return parts


def plan_facts(plan: Plan, model: Model) -> dict[str, Any]:
    """A plan as JSON values: counts, the groups that stay float, and all of it."""
    groups = float_groups(plan, operators(model))
    return {
        "counts": _counts(plan),
        "stays_float": [{**asdict(g), "count": len(g.nodes)} for g in groups],
        "plan": plan.to_dict(),
    }


def describe(decision: NodeDecision) -> str:
    """What becomes of a node, in words."""
    match decision:
        case Integer(_, _, group):
            kind = "" if decision.reads_codes else f", data {_kind(decision)}"
            return "integer" + (f", with {', '.join(group)}" if group else "") + kind
        case Absorbed(into):
            return f"part of {into}"
        case Float(reason):
            return f"float: {reason}"


def _kind(decision: Integer) -> str:
    """How the data of an integer node comes to it."""
    return _KINDS.get(decision.role, "of fixed ranges")


_KINDS = {
    DYNAMIC: "of ranges found in each run",
    WEIGHTS_ONLY: "in float",
    "table": "none, only stored in integers",
}


def _overview(plan: Plan, model: Model) -> RenderableType:
    counts = _counts(plan)
    raised = f" (raised from {model.opset})" if plan.opset > model.opset else ""
    nodes = (
        f"{len(plan.nodes)}: {counts['integer']} in integers, "
        f"{counts['absorbed']} absorbed by them, {counts['float']} float"
    )
    pairs = (
        ("target", plan.target),
        ("operator set", f"{max(plan.opset, model.opset)}{raised}"),
        ("nodes", nodes),
        ("tensors quantized with fixed ranges", str(len(plan.activations))),
        ("nodes that find ranges in each run", str(len(plan.found_at_run_time))),
        ("constants stored in integers", str(len(plan.operands))),
    )
    return facts("Plan", pairs)


def _counts(plan: Plan) -> dict[str, int]:
    kinds = Counter(type(decision) for decision in plan.nodes.values())
    return {"integer": kinds[Integer], "absorbed": kinds[Absorbed], "float": kinds[Float]}
