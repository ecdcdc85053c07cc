"""A sum of many terms, whatever Add and Sum spell it."""

from __future__ import annotations

from typing import NamedTuple

from onnxq.graph import Node, Tensor
from onnxq.rules.workspace import Workspace

ADDERS = frozenset(["Add", "Sum"])

_MOST_TERMS = 16


class Term(NamedTuple):
    """One summand, and the node that adds it."""

    tensor: Tensor
    adder: Node


def read_terms(work: Workspace, node: Node) -> list[Term]:
    """The summands of an Add or Sum; partial sums are opened where nobody else reads them."""
    terms: list[Term] = []
    pending = [Term(tensor, node) for tensor in node.inputs]
    while pending:
        term = pending.pop(0)
        inner = work.producer(term.tensor, *ADDERS)
        full = len(terms) + len(pending) >= _MOST_TERMS
        if inner is None or full or work.only_reader(term.tensor) is None:
            terms.append(term)
        else:
            pending[:0] = [Term(tensor, inner) for tensor in inner.inputs]
    return terms


def obstacle_to_dropping(work: Workspace, term: Term) -> str:
    """Why `drop_term` is impossible; empty if it is possible."""
    if len(term.adder.inputs) != 2:
        return ""
    return work.obstacle(term.adder.outputs[0], _other(term))


def drop_term(work: Workspace, term: Term) -> None:
    """Take one summand out of a sum of two or more, whose shape must not depend on it."""
    if len(term.adder.inputs) == 2:
        work.substitute(term.adder.outputs[0], _other(term))
        return
    index = _index(term)
    for position in range(index, len(term.adder.inputs) - 1):
        work.rewire(term.adder, position, term.adder.inputs[position + 1])
    work.drop_inputs(term.adder, len(term.adder.inputs) - 1)


def _other(term: Term) -> Tensor:
    return term.adder.inputs[1 - _index(term)]


def _index(term: Term) -> int:
    return next(i for i, tensor in enumerate(term.adder.inputs) if tensor is term.tensor)
