"""Recurrent layers begin with states of zeros by themselves: spelled out, they are left out.

    LSTM(x, W, R, B, lens, zeros, zeros, P) = LSTM(x, W, R, B, lens, absent, absent, P)

1. The initial state of LSTM, GRU or RNN is 0 everywhere, however it is made: by Expand,
   ConstantOfShape, Concat, Unsqueeze and the like from a constant.

States that callers give or that are computed otherwise are another thing; those made alike from
another number, or from one that may be overridden at run time, are near misses.

Definitions: ONNX LSTM, GRU, RNN: an initial_h or initial_c that is absent is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Constant, Node, Tensor, Variable, read
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.reasons import is_default, varies
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
        given = {i: work.input(node, i) for i in _STATES[node.op]}
        found = {i: None if t is None else _unlike_zero(work, t) for i, t in given.items()}
        zero = [i for i, reason in found.items() if reason == ""]
        if not zero:
            reason = next((r for r in found.values() if r), None)
            return None if reason is None else Refused(node.name, reason)
        if zero[0] == 5 and all(i in zero or work.input(node, i) is None for i in (6, 7)):
            work.drop_inputs(node, 5)
        else:
            for index in zero:
                work.rewire(node, index, Variable(""))
        return Applied(node.name, f"{len(zero)} initial state(s) of zeros were left out")


def _unlike_zero(work: Workspace, tensor: Tensor) -> str | None:
    """Why a tensor is not 0 everywhere, seen through what spreads and joins it.

    Empty if it is; None where it comes from elsewhere than constants.
    """
    pending, seen = [tensor], set[int]()
    while pending and len(seen) < _MOST_NODES:
        current = pending.pop()
        value, node = work.value(current), work.producer(current)
        if is_default(current):
            return varies(current)
        if value is not None and value.dtype.kind in "fiu":
            if value.any():
                return f"'{current.name}' is not 0 everywhere"
            continue
        if value is not None or node is None:
            return None
        if node.op == "ConstantOfShape":
            given = node.attrs.get("value")
            if isinstance(given, Constant) and read(given).any():
                return f"'{current.name}' is not 0 everywhere"
        elif node.op not in _HANDING:
            return None
        elif id(current) not in seen:
            pending.extend(node.inputs if node.op == "Concat" else node.inputs[:1])
        seen.add(id(current))
    return f"more than {_MOST_NODES} nodes make '{tensor.name}'" if pending else ""
