"""Arithmetic with constants in a row becomes at most one Mul and one Add.

    (x·a + c)·b - d = (a·b)·x + (c·b - d)

1. A map of channels with a BatchNormalization in it stays one BatchNormalization.
2. x/d becomes x·(1/d), which is rounded twice and not once; c - x stays a Sub.
3. What changes nothing goes.
4. A constant along one axis joins one along another only where the product stays small.

Terminates: every application lowers the cost of the nodes that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.folding import remainder
from onnxq.rules.folding.reading import STEPS, Chain, Step, is_followed, read_chains, read_step
from onnxq.rules.folding.shields import makes_gelu
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class CollapseAffine(Rule):
    """Merge consecutive Mul, Add, Sub, Div, Neg and BatchNormalization."""

    operators: ClassVar[frozenset[str]] = STEPS

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Merge the chain that ends in this node."""
        last = read_step(work, node)
        if not isinstance(last, Step) or is_followed(work, last, widen=True):
            return None
        missed: Event | None = None
        for chain in read_chains(work, last, widen=True):
            event = _collapse(work, chain)
            if isinstance(event, Applied):
                return event
            missed = missed or event
        return missed


def _collapse(work: Workspace, chain: Chain) -> Event | None:
    cost = remainder.cost_of_rest(work, chain, chain.affine)
    if cost >= remainder.cost_of_chain(work, chain):
        return None
    if any(makes_gelu(work, step.node) for step in chain.steps):
        return None
    before = ", ".join(step.node.op for step in chain.steps)
    rest = remainder.prepare(work, chain, chain.affine)
    if isinstance(rest, str):
        return Refused(chain.last.name, rest)
    remainder.put(work, rest)
    after = ["BatchNormalization"] if rest.norm else [op for op, _ in rest.spelling]
    return Applied(chain.last.name, f"{before} became {', '.join(after) or 'nothing'}")
