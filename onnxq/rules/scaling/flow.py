"""How far a factor spreads: from one tensor through all that must then be divided by it too.

Where a layer reads the tensor, its weight is multiplied by the factor and nothing behind it
changes; where a layer writes it, weight and bias are divided. What is homogeneous (Relu, pools,
moves of elements) passes the factor on, sums ask all their operands for it, and anything else
holds it at 1. Nothing is edited here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from onnxq.graph import Constant, Node, Tensor, Variable, bound_constant
from onnxq.rules.folding.planner import ASKS_FOR_SHAPE
from onnxq.rules.folding.storing import grows_too_much
from onnxq.rules.scaling.labels import LabelArray, Labels
from onnxq.rules.workspace import Workspace

_SHARED = 65_536
"""Bytes from which a constant that others read too is not copied."""


@dataclass(frozen=True, eq=False)
class Operand:
    """A constant that takes a factor in.

    Attributes:
        node: The node that reads it.
        index: Which of its inputs.
        labels: Which factor each of its elements takes, to be broadcast with the constant.
        exponent: 1 where it is multiplied, -1 where it is divided.
    """

    node: Node
    index: int
    labels: LabelArray
    exponent: int


@dataclass(frozen=True)
class Port:
    """Where a node touches a tensor: input or output `index`."""

    node: Node
    index: int
    is_output: bool = False


class Flow:
    """One spreading factor.

    Attributes:
        work: The model.
        labels: Where labels come from.
        tensors: The tensors reached, with their labels, in the order in which they were reached.
        operands: The constants that change.
        reasons: Why labels were held, the first one first.
    """

    def __init__(self, work: Workspace, labels: Labels, handlers: Mapping[str, Handler]) -> None:
        self.work, self.labels = work, labels
        self.tensors: dict[int, tuple[Variable, LabelArray]] = {}
        self.operands: dict[tuple[int, int, int], Operand] = {}
        self.reasons: list[str] = []
        self._handlers = handlers
        self._queue: deque[Variable] = deque()

    def spread(self, tensor: Variable, array: LabelArray) -> None:
        """Follow the factor of a tensor wherever it leads."""
        self.reach(tensor, array)
        while self._queue:
            self._visit(self._queue.popleft())

    def read_by(self, layer: Node, array: LabelArray) -> None:
        """One layer reads a tensor with these labels; nobody else is asked."""
        self._pass(Port(layer, 0), array)

    def reach(self, tensor: Tensor, array: LabelArray) -> None:
        """A tensor must have these labels."""
        if not isinstance(tensor, Variable):
            self.hold(array, f"'{tensor.name}' is a constant that is only moved")
            return
        known = self.tensors.get(id(tensor))
        if known is not None:
            self.labels.unite(known[1], array)
            return
        self.tensors[id(tensor)] = tensor, self.labels.narrow(array)
        self._queue.append(tensor)

    def reach_operand(self, node: Node, index: int, array: LabelArray) -> None:
        """An operand that is broadcast to a result with these labels must have them."""
        tensor = node.inputs[index]
        known = bound_constant(tensor)
        if known is not None:
            self.scale(node, index, self._for_constant(known, array), -1)
            return
        own = self.labels.onto(array, self.work.shape(tensor))
        if own is None:
            self.hold(array, f"the shape of '{tensor.name}' is not known")
        else:
            self.reach(tensor, own)

    def scale(self, node: Node, index: int, array: LabelArray, exponent: int) -> None:
        """A constant must take the factor in."""
        reason = self.obstacle(node, index, array)
        if reason:
            self.hold(array, reason)
            return
        key = id(node), index, exponent
        known = self.operands.get(key)
        if known is None:
            self.operands[key] = Operand(node, index, array, exponent)
        else:
            self.labels.unite(known.labels, array)

    def hold(self, array: LabelArray, reason: str) -> None:
        """These labels must be 1."""
        self.labels.fix(array)
        self.reasons.append(reason)

    def obstacle(self, node: Node, index: int, array: LabelArray) -> str:
        """Why a constant cannot take a factor in; empty if it can."""
        tensor = node.inputs[index]
        known = bound_constant(tensor)
        if known is None:
            return f"input '{tensor.name}' of '{node.name}' is not a constant"
        if known.stored.dtype != np.float32:
            kind = known.stored.dtype.name
            return f"the constant '{known.name}' is {kind}; only float32 is quantized"
        if known.stored.nbytes > _SHARED and any(n is not node for n in known.outputs):
            return f"the constant '{known.name}' of '{node.name}' is shared with others"
        if grows_too_much(known, np.broadcast_shapes(known.stored.shape, array.shape)):
            return f"the constant '{known.name}' of '{node.name}' would grow"
        return ""

    def _for_constant(self, known: Constant, array: LabelArray) -> LabelArray:
        """Labels for a constant, with no more axes than it takes."""
        rank = len(known.stored.shape)
        while array.ndim > rank and array.shape[0] == 1:
            array = array[0]
        return array

    def _visit(self, tensor: Variable) -> None:
        _, array = self.tensors[id(tensor)]
        if self.work.is_held(tensor):
            self.hold(array, f"'{tensor.name}' is returned")
        readers = self.work.readers(tensor) if not self.work.is_held(tensor) else None
        if readers is None:
            self.hold(array, f"'{tensor.name}' is also read outside the graph")
            return
        source = self.work.producer(tensor)
        if source is None:
            self.hold(array, f"'{tensor.name}' comes from outside")
            return
        self._pass(Port(source, _place(source.outputs, tensor), is_output=True), array)
        for node in readers:
            if node.op in ASKS_FOR_SHAPE:
                continue
            for index, read in enumerate(node.inputs):
                if read is tensor:
                    self._pass(Port(node, index), array)

    def _pass(self, port: Port, array: LabelArray) -> None:
        handler = self._handlers.get(port.node.op)
        if handler is None:
            self.hold(array, f"'{port.node.name}' ({port.node.op}) passes no factor")
        else:
            handler(self, port, array)


def _place(tensors: list[Tensor], tensor: Tensor) -> int:
    return next(i for i, t in enumerate(tensors) if t is tensor)


Handler: TypeAlias = Callable[[Flow, Port, LabelArray], None]
