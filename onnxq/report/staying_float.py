"""The nodes that stay float, by operator and reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from onnxq.graph import Model
from onnxq.plan import Float, Plan
from onnxq.report.tables import table


@dataclass(frozen=True)
class FloatGroup:
    """Nodes of one operator that stay float for the same reason."""

    op: str
    reason: str
    nodes: tuple[str, ...]


def operators(model: Model) -> dict[str, str]:
    """The operator of each node of the main graph, by name."""
    return {node.name: node.op for node in model.nodes}


def float_groups(plan: Plan, ops: Mapping[str, str]) -> list[FloatGroup]:
    """Those that stay float, the most frequent first; nodes that are gone are left out."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, decision in plan.nodes.items():
        if isinstance(decision, Float) and name in ops:
            groups.setdefault((ops[name], _general(decision.reason)), []).append(name)
    found = [FloatGroup(op, reason, tuple(nodes)) for (op, reason), nodes in groups.items()]
    return sorted(found, key=lambda group: -len(group.nodes))


def _general(reason: str) -> str:
    """A reason without the names in it, so that nodes in the same situation stand together."""
    return re.sub(r"'[^']+'", "…", reason)


def float_table(groups: Sequence[FloatGroup]) -> RenderableType:
    """The groups as a table."""
    total = sum(len(group.nodes) for group in groups)
    return table(
        f"Stays float ({total})",
        (">nodes", "operator", "why", "such as"),
        ((str(len(g.nodes)), g.op, g.reason, g.nodes[0]) for g in groups),
    )
