"""Multiplications and additions by constants go into the operators around them.

A chain of Mul, Add, Sub, Div by constants, Neg and BatchNormalization is one affine map
y = a·x + c. What is tried, in this order; the first that can be done is done:

1. What computes x gives the whole map: weights and biases are scaled, bounds and gains moved.
2. All that read y take the whole map.
3. What computes x gives a part (·a first and + c behind; or + c/a first and ·a behind) and all
   that read y take the rest.
4. One part goes one of these ways, and the other stays as one node.

Each file of this folder says for an operator how it gives a map or takes one, or hands it on.
A plan is made for all of it before anything is edited. No plan adds nodes, every plan removes
some or leaves a cheaper one (the Add that an engine joins to a MatMul).

Caveats: constants are computed in float64 and stored in their own type, so that each weight is
rounded once more. An addition that moves over a factor becomes c/a; where the factors of
channels differ by more than 1000, it does not, lest one dead channel sets the range of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.folding import remainder
from onnxq.rules.folding.affine import Affine
from onnxq.rules.folding.plan import Edit, carry_out, together, worked_out
from onnxq.rules.folding.planner import ASKS_FOR_SHAPE
from onnxq.rules.folding.reading import STEPS, Chain, is_followed, read_chains, read_step
from onnxq.rules.folding.shields import ends_norm, makes_gelu
from onnxq.rules.folding.tables import DOWNWARDS, UPWARDS, planner
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_KNOWN = DOWNWARDS.keys() | ASKS_FOR_SHAPE


@dataclass(frozen=True)
class FoldAffine(Rule):
    """Fold chains of constant arithmetic and BatchNormalization into what is around them."""

    operators: ClassVar[frozenset[str]] = STEPS

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Fold the chain that ends in this node."""
        last = read_step(work, node)
        if isinstance(last, str):
            return Refused(node.name, last)
        if last is None or is_followed(work, last, widen=False):
            return None
        missed: Event | None = None
        for chain in read_chains(work, last, widen=False):
            event = fold(work, chain)
            if isinstance(event, Applied):
                return event
            missed = missed or event
        return missed


@dataclass(frozen=True)
class _Way:
    """One way to be rid of a chain.

    Attributes:
        given: The map that what computes x gives.
        left: The map that stays.
        taken: The map that those who read y take.
    """

    given: Affine
    left: Affine
    taken: Affine


def fold(work: Workspace, chain: Chain) -> Event | None:
    """Fold a chain, or say why not."""
    if chain.affine.is_identity or _is_left_alone(work, chain):
        return None
    reasons: list[str] = []
    for way in _ways(chain):
        reason = _go(work, chain, way)
        if isinstance(reason, Applied):
            return reason
        reasons.append(reason)
    return Refused(chain.last.name, "; ".join(dict.fromkeys(r for r in reasons[:2] if r)))


def _is_left_alone(work: Workspace, chain: Chain) -> bool:
    """Whether the engine wants a chain where it is, or nothing is around that could take it."""
    if ends_norm(work, chain.source) or any(makes_gelu(work, s.node) for s in chain.steps):
        return True
    if any(step.node.op == "BatchNormalization" for step in chain.steps):
        return False
    before = work.producer(chain.source)
    if before is not None and before.op == "MatMul" and chain.affine.scales_by_one:
        # The engine makes one Gemm of the two.
        return True
    behind = work.readers(chain.output)
    none_behind = behind is None or any(n.op not in _KNOWN for n in behind)
    return none_behind and (before is None or before.op not in UPWARDS)


def _ways(chain: Chain) -> Iterator[_Way]:
    whole, nothing = chain.affine, Affine.of()
    yield _Way(whole, nothing, nothing)
    yield _Way(nothing, nothing, whole)
    if whole.scales_by_one or whole.adds_nothing:
        return
    factor, addend = whole.scaling, whole.shift
    before = _moved_before(whole)
    yield _Way(factor, nothing, addend)
    if before is not None:
        yield _Way(before, nothing, factor)
    yield _Way(factor, addend, nothing)
    if before is not None:
        yield _Way(nothing, before, factor)
        yield _Way(before, factor, nothing)
    yield _Way(nothing, factor, addend)


def _moved_before(affine: Affine) -> Affine | None:
    """The addition of c/a, as a·x + c = a·(x + c/a); None where a cannot be divided by."""
    inverse = affine.scaling.inverse()
    return None if inverse is None else Affine.of(1.0, affine.addend * inverse.factor)


def _go(work: Workspace, chain: Chain, way: _Way) -> Applied | str:
    """Go one way, or say why that is impossible; nothing is edited then."""
    if remainder.cost_of_rest(work, chain, way.left) >= remainder.cost_of_chain(work, chain):
        return ""
    plans, first = planner(work, chain.dtype), chain.steps[0]
    given = plans.operand(first.node, first.index, way.given)
    taken = given if isinstance(given, str) else plans.readers(chain.output, way.taken)
    edits = worked_out(together((given, taken)))
    if isinstance(edits, str) or isinstance(given, str) or isinstance(taken, str):
        return edits if isinstance(edits, str) else ""
    rest = remainder.prepare(work, chain, way.left)
    if isinstance(rest, str):
        return rest
    carry_out(work, edits)
    remainder.put(work, rest)
    return Applied(chain.last.name, _told(chain, given, taken, way.left))


def _told(chain: Chain, given: tuple[Edit, ...], taken: tuple[Edit, ...], left: Affine) -> str:
    places = [_named(given), f"{_named(taken)} after it" if taken else ""]
    where = " and ".join(f"into {place}" for place in places if place)
    count = f" {len(chain.steps)} nodes" if len(chain.steps) > 1 else ""
    stays = ""
    if not left.is_identity:
        stays = "an Add of its addend" if left.scales_by_one else "a Mul of its factor"
        stays = f"; {stays} is left"
    return f"folded{count}{_numbers(chain.affine)} {where or 'away'}{stays}"


def _named(edits: tuple[Edit, ...]) -> str:
    shown = ", ".join(f"'{edit.node.name}' ({edit.node.op})" for edit in edits[:3])
    return f"{shown} and {len(edits) - 3} more" if len(edits) > 3 else shown


def _numbers(affine: Affine) -> str:
    """The map, if it is the same for all elements."""
    if not affine.is_uniform:
        return ""
    factor = "" if affine.scales_by_one else f"{float(affine.factor):.4g}·"
    return f" {factor}x" + ("" if affine.adds_nothing else f" {float(affine.addend):+.4g}")
