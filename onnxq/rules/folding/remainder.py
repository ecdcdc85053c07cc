"""What stays of a chain: the fewest nodes that compute an affine map."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.graph import Node, Tensor
from onnxq.rules.folding.affine import Affine, Array
from onnxq.rules.folding.norms import become_batch_norm
from onnxq.rules.folding.plan import Edit, Values, carry_out, worked_out
from onnxq.rules.folding.reading import Chain
from onnxq.rules.folding.storing import stored
from onnxq.rules.folding.tables import planner
from onnxq.rules.workspace import Workspace

_NODE, _DIV, _BIAS = 2, 3, 1
"""Costs of a node: division is slower, and the engine joins an Add to the MatMul before it.

A BatchNormalization costs no more than an Add: engines run both in one pass.
"""


@dataclass(frozen=True, eq=False)
class Rest:
    """Nodes that take the place of a chain.

    Attributes:
        chain: The chain.
        spelling: Operators and their constants, the first one first.
        norm: A BatchNormalization of the chain that stays instead.
        edits: Its new constants.
    """

    chain: Chain
    spelling: tuple[tuple[str, Array], ...] = ()
    norm: Node | None = None
    edits: tuple[tuple[Edit, Values], ...] = ()


def cost_of_chain(work: Workspace, chain: Chain) -> int:
    """Cost of the nodes of a chain."""
    costs = [_DIV if step.node.op == "Div" else _NODE for step in chain.steps]
    if chain.steps[0].node.op == "Add":
        costs[0] = _cost_of_first_add(work, chain)
    return sum(costs)


def cost_of_rest(work: Workspace, chain: Chain, affine: Affine) -> int:
    """Cost of the nodes that would stay of a chain to compute `affine`."""
    if _norm(chain, affine) is not None:
        return _NODE
    spelled = _spelled(affine)
    if spelled and spelled[0][0] == "Add":
        return _cost_of_first_add(work, chain)
    return _NODE * len(spelled)


def _cost_of_first_add(work: Workspace, chain: Chain) -> int:
    return _BIAS if work.producer(chain.source, "MatMul") else _NODE


def prepare(work: Workspace, chain: Chain, affine: Affine) -> Rest | str:
    """Nodes that compute `affine` in place of a chain, or why they cannot."""
    norm = _norm(chain, affine)
    if norm is not None:
        edits = worked_out(become_batch_norm(planner(work, chain.dtype), norm, affine))
        return edits if isinstance(edits, str) else Rest(chain, norm=norm, edits=tuple(edits))
    spelling: list[tuple[str, Array]] = []
    for op, coefficient in _spelled(affine):
        value = stored(_short(coefficient), chain.dtype)
        if isinstance(value, str):
            return value
        spelling.append((op, value))
    reason = "" if spelling else work.obstacle(chain.output, chain.source)
    return reason or Rest(chain, tuple(spelling))


def put(work: Workspace, rest: Rest) -> None:
    """Put the nodes in the place of their chain."""
    chain = rest.chain
    if rest.norm is not None:
        carry_out(work, rest.edits)
        work.rewire(rest.norm, 0, chain.source)
        if rest.norm is not chain.last:
            work.substitute(chain.output, rest.norm.outputs[0])
        return
    result, shape = chain.source, work.shape(chain.output)
    if not rest.spelling:
        work.substitute(chain.output, result)
        return
    for op, value in rest.spelling[:-1]:
        constant = work.constant(f"{chain.last.name}_constant", value)
        name = f"{chain.last.name}_{op}"
        result = work.add(op, [result, constant], name=name, shape=shape, dtype=chain.dtype)
    _put_last(work, chain, result, *rest.spelling[-1])


def _put_last(work: Workspace, chain: Chain, source: Tensor, op: str, value: Array) -> None:
    """The last node of the chain, if it has two inputs, else a new one in its place."""
    last = chain.last
    constant = work.constant(f"{last.name}_constant", value)
    inputs = [constant, source] if op == "Sub" else [source, constant]
    if last.op not in ("Mul", "Add", "Sub", "Div"):
        shape = work.shape(chain.output)
        name = f"{last.name}_{op}"
        result = work.add(op, inputs, name=name, shape=shape, dtype=chain.dtype)
        work.substitute(chain.output, result)
        return
    work.change(last, op)
    for index, tensor in enumerate(inputs):
        work.rewire(last, index, tensor)


def _norm(chain: Chain, affine: Affine) -> Node | None:
    """The BatchNormalization of a chain that computes `affine` where two nodes would else."""
    if len(_spelled(affine)) < 2 or not affine.axes <= {1}:
        return None
    nodes = [step.node for step in chain.steps if step.node.op == "BatchNormalization"]
    return nodes[0] if nodes else None


def _spelled(affine: Affine) -> tuple[tuple[str, Array], ...]:
    if affine.is_identity:
        return ()
    if affine.scales_by_one:
        return (("Add", affine.addend),)
    if affine.adds_nothing:
        return (("Mul", affine.factor),)
    if affine.factor.ndim == 0 and float(affine.factor) == -1.0:
        return (("Sub", affine.addend),)
    return (("Mul", affine.factor), ("Add", affine.addend))


def _short(coefficient: Array) -> Array:
    """Without the axes in front on which nothing depends: engines look for plain biases."""
    shape = coefficient.shape
    first = next((axis for axis, length in enumerate(shape) if length > 1), len(shape))
    return coefficient.reshape(shape[first:])
