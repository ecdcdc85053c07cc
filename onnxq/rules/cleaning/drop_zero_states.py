"""Recurrent layers begin with states of zeros by themselves: spelled out, they are left out.

    LSTM(x, W, R, B, lens, zeros, zeros, P) = LSTM(x, W, R, B, lens, absent, absent, P)

1. The initial state of LSTM, GRU or RNN is 0 everywhere, however it is made: by Expand,
   ConstantOfShape, Concat, Unsqueeze and the like from a constant.

Definitions: ONNX LSTM, GRU, RNN: an initial_h or initial_c that is absent is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Constant, Node, Tensor, Variable, read
from onnxq.passes import Applied, Event
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}

_HANDING = frozenset(
    [
        "Cast",
        "Concat",
        "Expand",
        "Gather",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Operators whose results hold nothing but elements of their inputs."""

_MOST_NODES = 32


@dataclass(frozen=True)
class DropZeroStates(Rule):
    """Leave out initial states of zeros."""

    operators: ClassVar[frozenset[str]] = frozenset(_STATES)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Make the inputs absent."""
        zero = [i for i in _STATES[node.op] if _is_zero(work, work.input(node, i))]
        if not zero:
            return None
        if zero[0] == 5 and all(i in zero or work.input(node, i) is None for i in (6, 7)):
            work.drop_inputs(node, 5)
        else:
            for index in zero:
                work.rewire(node, index, Variable(""))
        return Applied(node.name, f"{len(zero)} initial state(s) of zeros were left out")


def _is_zero(work: Workspace, tensor: Tensor | None) -> bool:
    """Whether a tensor is certainly 0 everywhere, seen through what spreads and joins it."""
    pending = [] if tensor is None else [tensor]
    seen: set[int] = set()
    while pending and len(seen) < _MOST_NODES:
        current = pending.pop()
        value, node = work.value(current), work.producer(current)
        if value is not None and value.dtype.kind in "fiu" and not value.any():
            continue
        if value is not None or node is None:
            return False
        if node.op == "ConstantOfShape":
            given = node.attrs.get("value")
            if isinstance(given, Constant) and read(given).any():
                return False
        elif node.op not in _HANDING:
            return False
        elif id(current) not in seen:
            pending.extend(node.inputs if node.op == "Concat" else node.inputs[:1])
        seen.add(id(current))
    return tensor is not None and not pending
