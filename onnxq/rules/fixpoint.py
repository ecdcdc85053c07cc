"""Apply rules again and again until none has anything left to do.

Nodes are tried in topological order; after an application, the nodes around the edit are
tried again. When the queue is empty, shapes are inferred afresh and all nodes are tried once
more, until such a round changes nothing. Each round is linear in nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from onnxq.graph import Model, Node, sort
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import Knowledge
from onnxq.rules.workspace import Workspace

if TYPE_CHECKING:
    from onnxq.rules.rule import Rule

MAXIMUM_ROUNDS = 24
"""Rounds after which rules are taken to chase each other; real models need three to six."""

_APPLICATIONS_PER_NODE = 20


def rewrite_all(
    model: Model, rules: Sequence[Rule], knowledge: Knowledge | None = None
) -> Iterator[Event]:
    """Apply `rules` to the main graph until nothing more follows.

    Args:
        model: The model, which is edited.
        rules: The rules, in the order in which they are tried at a node.
        knowledge: What others have found out about the model.

    Yields:
        Every application, and the near misses that are left at the end.
    """
    table = _by_operator(rules)
    knowledge = knowledge or Knowledge(model)
    for _ in range(MAXIMUM_ROUNDS):
        work = Workspace(model, knowledge.now())
        applied, missed = _round(work, table)
        if not applied:
            yield from missed
            return
        work.finish()
        sort(model.graph)
        knowledge.forget()
        yield from applied
    yield Refused("", f"stopped after {MAXIMUM_ROUNDS} rounds: rules undo each other's work")


def _by_operator(rules: Sequence[Rule]) -> Mapping[str, Sequence[Rule]]:
    table: dict[str, list[Rule]] = {}
    for rule in rules:
        for operator in rule.operators:
            table.setdefault(operator, []).append(rule)
    return table


def _round(
    work: Workspace, table: Mapping[str, Sequence[Rule]]
) -> tuple[list[Applied], list[Refused]]:
    applied: list[Applied] = []
    missed: dict[Refused, None] = {}
    queue = deque(work.model.nodes)
    queued = {id(node) for node in queue}
    bound = _APPLICATIONS_PER_NODE * len(queue) + 100
    while queue and len(applied) < bound:
        node = queue.popleft()
        queued.discard(id(node))
        event = _try(work, node, table.get(node.op, ()), missed)
        if event is None:
            continue
        applied.append(event)
        for near in work.settle():
            if id(near) not in queued and near.op in table:
                queued.add(id(near))
                queue.append(near)
    return applied, list(missed)


def _try(
    work: Workspace, node: Node, rules: Sequence[Rule], missed: dict[Refused, None]
) -> Applied | None:
    """The first rule that applies at a node."""
    if not rules or not node.standard or not work.is_alive(node):
        return None
    for rule in rules:
        event = rule.rewrite(work, node)
        if event is None:
            continue
        event = replace(event, rule=type(rule).__name__)
        if isinstance(event, Applied):
            return event
        missed[event] = None
    return None
