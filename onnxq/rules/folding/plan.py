"""What would have to be edited, before anything is.

A plan is a tuple of edits, or the reason why there is none. Values of new constants are worked
out only when the whole plan stands; that can still fail, because a product may leave the range
of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Array
from onnxq.rules.workspace import Workspace

Values: TypeAlias = Mapping[int, Array]
"""New constants by the position of the input that they replace."""


@dataclass(frozen=True, eq=False)
class Edit:
    """New constants and attributes of one node.

    Attributes:
        node: The node.
        values: Works out its new constants, or says why they cannot be stored.
        attrs: Its new attributes.
    """

    node: Node
    values: Callable[[], Values | str] = dict
    attrs: Mapping[str, Any] = field(default_factory=dict)


Plan: TypeAlias = tuple[Edit, ...] | str


def together(plans: Iterable[Plan], *, of: Node | None = None) -> Plan:
    """All of the plans, or the first reason against; later plans are not asked for then.

    Each must hold whether or not the others are carried out, so no node may stand in two.

    Args:
        plans: The plans.
        of: A node whose plans were made with each other in view: its edits become one.
    """
    edits: dict[int, Edit] = {}
    for plan in plans:
        if isinstance(plan, str):
            return plan
        for edit in plan:
            known = edits.get(id(edit.node))
            if known is not None and edit.node is not of:
                return f"'{edit.node.name}' would change in two ways at once"
            edits[id(edit.node)] = edit if known is None else _joined(known, edit)
    return tuple(edits.values())


def _joined(one: Edit, other: Edit) -> Edit:
    def values() -> Values | str:
        found: dict[int, Array] = {}
        for edit in (one, other):
            part = edit.values()
            if isinstance(part, str):
                return part
            found.update(part)
        return found

    return Edit(one.node, values, {**one.attrs, **other.attrs})


def first_of(attempts: Iterable[Plan]) -> Plan:
    """The first plan that stands; the first reason where none does."""
    reason = ""
    for plan in attempts:
        if not isinstance(plan, str):
            return plan
        reason = reason or plan
    return reason


def worked_out(plan: Plan) -> list[tuple[Edit, Values]] | str:
    """The values of a plan, or why it does not stand after all."""
    if isinstance(plan, str):
        return plan
    found: list[tuple[Edit, Values]] = []
    for edit in plan:
        values = edit.values()
        if isinstance(values, str):
            return values
        found.append((edit, values))
    return found


def carry_out(work: Workspace, edits: Iterable[tuple[Edit, Values]]) -> None:
    """Edit the nodes. Constants are replaced, never changed: others may read them."""
    for edit, values in edits:
        if edit.attrs:
            work.change(edit.node, **edit.attrs)
        for index, value in values.items():
            name = _name(work.input(edit.node, index), edit.node)
            work.rewire(edit.node, index, work.constant(name, value))


def _name(old: Tensor | None, node: Node) -> str:
    if old is None:
        return f"{node.name}_bias"
    return old.name if old.name.endswith("_fused") else f"{old.name}_fused"
