"""Plans what must change so that a tensor, or all that read it, take an affine map in.

Two questions call each other, through the operators:

1. `operand`: what changes so that an operand of a node holds factor·t + addend in place of t?
   A constant is mapped itself; else the operator that computes t must take the map in, which
   the table `upwards` tells. Nobody else may read t.
2. `readers`: what changes so that all who read a tensor compute the same from t as they do
   now from factor·t + addend? The table `downwards` tells for each.

Nothing is edited here. Steps are counted, so that a question ends however the graph branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from onnxq.graph import Constant, Node, Tensor, bound_constant
from onnxq.rules.folding.affine import Affine, onto
from onnxq.rules.folding.plan import Edit, Plan, together
from onnxq.rules.folding.storing import grows_too_much, mapped, values_of
from onnxq.rules.workspace import Workspace

_STEPS = 64
_DEPTH = 16
_SHARED = 65_536
"""Bytes from which a constant that others read too is not copied."""

_NARROW = 16.0
"""How much tensors of float16 may grow or shrink between an operator and a map it takes in."""

ASKS_FOR_SHAPE = frozenset(["Shape", "Size"])
"""Operators that do not look at elements."""


@dataclass
class Planner:
    """Plans for one map.

    Attributes:
        work: The model.
        dtype: Element type of the tensors mapped.
        upwards: What an operator changes to give factor·t + addend, by operator.
        downwards: What an operator changes to take t for factor·t + addend, by operator.
    """

    work: Workspace
    dtype: np.dtype[Any]
    upwards: Mapping[str, Upwards]
    downwards: Mapping[str, Downwards]
    steps: int = 0
    depth: int = 0

    def operand(self, node: Node, index: int, affine: Affine) -> Plan:
        """So that input `index` of `node` holds the map of what it holds now.

        Args:
            node: The only node that reads the operand.
            index: Which input.
            affine: The map, for a tensor that the operand is broadcast to.
        """
        if affine.is_identity:
            return ()
        tensor = node.inputs[index]
        known = bound_constant(tensor)
        if known is not None:
            return self._constant(node, index, known, affine)
        shape = self.work.shape(tensor)
        own = affine.moved(onto(affine.factor, shape), onto(affine.addend, shape))
        if own is None:
            return f"'{tensor.name}' has fewer elements than the constants tell apart"
        source = self.work.producer(tensor)
        if source is not None and source.op in self.upwards and not self.is_read_by_one(tensor):
            return f"the output '{tensor.name}' of '{source.name}' is also read elsewhere"
        return self.computed(tensor, own)

    def computed(self, tensor: Tensor, affine: Affine) -> Plan:
        """So that the node that computes `tensor`, which nobody else looks at, gives its map."""
        source = self.work.producer(tensor)
        handler = None if source is None else self.upwards.get(source.op)
        if source is None or handler is None:
            return f"nothing linear before it, but {source.op if source else 'an input'}"
        if self._may_overflow(affine):
            return f"'{tensor.name}' could leave the range of float16"
        return self._guarded(partial(handler, self, source, tensor, affine))

    def readers(self, tensor: Tensor, affine: Affine) -> Plan:
        """So that all who read `tensor` take it for its map."""
        if affine.is_identity:
            return ()
        nodes = self.work.readers(tensor)
        if nodes is None:
            return f"'{tensor.name}' is also read outside the graph"
        if self._may_overflow(affine):
            return f"'{tensor.name}' could leave the range of float16"
        return self._guarded(partial(together, self._each_use(nodes, tensor, affine)))

    def weight(self, node: Node, index: int, what: str = "weight") -> Constant | str:
        """A constant of a node that may be replaced, or why it may not."""
        tensor = node.inputs[index]
        known = bound_constant(tensor)
        if known is None:
            return f"the {what} '{tensor.name}' of '{node.name}' is not a constant"
        if known.stored.dtype != self.dtype:
            return f"the {what} '{tensor.name}' of '{node.name}' is not {self.dtype.name}"
        if known.stored.nbytes > _SHARED and any(n is not node for n in known.outputs):
            return f"the {what} '{tensor.name}' of '{node.name}' is shared with others"
        return known

    def is_read_by_one(self, tensor: Tensor) -> bool:
        """Whether a single node reads the elements of `tensor`, and once."""
        if self.work.is_held(tensor) or self.work.readers(tensor) is None:
            return False
        return sum(n.op not in ASKS_FOR_SHAPE for n in tensor.outputs) == 1

    def _constant(self, node: Node, index: int, known: Constant, affine: Affine) -> Plan:
        usable = self.weight(node, index, "operand")
        if isinstance(usable, str):
            return usable
        coefficients = (affine.factor.shape, affine.addend.shape)
        shape = np.broadcast_shapes(known.stored.shape, *coefficients)
        if grows_too_much(known, shape):
            return f"the operand '{known.name}' of '{node.name}' would grow"
        return (Edit(node, lambda: values_of({index: mapped(known, affine)})),)

    def _may_overflow(self, affine: Affine) -> bool:
        """Whether tensors in between would change their size by much, in a narrow type."""
        sizes = np.abs(affine.factor)
        between = self.depth > 0 and self.dtype == np.float16
        return between and bool(sizes.max() > _NARROW or sizes.min() < 1 / _NARROW)

    def _each_use(self, nodes: list[Node], tensor: Tensor, affine: Affine) -> Iterator[Plan]:
        for node in nodes:
            if node.op in ASKS_FOR_SHAPE:
                continue
            handler = self.downwards.get(node.op)
            places = [index for index, t in enumerate(node.inputs) if t is tensor]
            if handler is None or len(places) != 1:
                yield f"'{node.name}' ({node.op}) behind it is not linear"
                continue
            yield handler(self, node, places[0], affine)

    def _guarded(self, question: Callable[[], Plan]) -> Plan:
        if self.steps >= _STEPS or self.depth >= _DEPTH:
            return "what could take it in is too far away"
        self.steps += 1
        self.depth += 1
        plan = question()
        self.depth -= 1
        return plan


def constants_first(node: Node, indices: Iterable[int]) -> list[int]:
    """Input positions, those of constants in front: they need nobody's consent."""
    return sorted(indices, key=lambda i: bound_constant(node.inputs[i]) is None)


Upwards: TypeAlias = Callable[[Planner, Node, Tensor, Affine], Plan]
Downwards: TypeAlias = Callable[[Planner, Node, int, Affine], Plan]
