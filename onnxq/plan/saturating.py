"""Ranges that know their consumers: where no reader can tell values apart, the range may end.

If every reader of a tensor gives the same result for all values below some bound, codes
beyond it are wasted: HardSwish is 0 below -3, Relu below 0, HardSigmoid and Clip are flat
outside their bounds, and what follows an Add of a constant is flat where the sum is. Bounds
are found from the outputs backwards, once per tensor; clipping a tensor to its bounds changes
no output of the float model (Sigmoid, flat to within 1/2980 beyond 8, is the one exception).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from onnxq.graph import Model, Node, Tensor, bound_constant, producer, read

Interval: TypeAlias = tuple[float, float]
_Known: TypeAlias = Mapping[int, Interval]

EVERYTHING: Interval = (-inf, inf)

_SIGMOID_END = 8.0


def saturation(model: Model) -> dict[str, Interval]:
    """The interval outside which nobody can tell the values of a tensor, by tensor name.

    Only tensors with such an interval are named. Zero always lies inside.
    """
    main = {id(node) for node in model.nodes}
    held = {id(t) for t in model.outputs}
    known: dict[int, Interval] = {}
    found: dict[str, Interval] = {}
    tensors = [t for node in reversed(model.nodes) for t in node.outputs if t.name]
    for tensor in (*tensors, *model.inputs):
        interval = EVERYTHING
        if id(tensor) not in held and all(id(reader) in main for reader in tensor.outputs):
            interval = _hull(tensor, known)
        known[id(tensor)] = interval
        if interval != EVERYTHING:
            found[tensor.name] = interval
    return found


@dataclass(frozen=True)
class _Reading:
    """One node that reads a tensor, and what can be told of the node's own results."""

    node: Node
    tensor: Tensor
    after: Interval


def _hull(tensor: Tensor, known: _Known) -> Interval:
    low, high = 0.0, 0.0
    readers = {id(node): node for node in tensor.outputs}
    if not readers:
        return EVERYTHING
    for node in readers.values():
        rule = _RULES.get(node.op) if node.standard else None
        told = EVERYTHING if rule is None else rule(_Reading(node, tensor, _after(node, known)))
        low, high = min(low, told[0]), max(high, told[1])
    return low, high


def _after(node: Node, known: _Known) -> Interval:
    """What the readers of all outputs of a node can tell apart."""
    intervals = [known.get(id(t), EVERYTHING) for t in node.outputs if t.name]
    return min(i[0] for i in intervals), max(i[1] for i in intervals)


def _fixed(low: float, high: float) -> _Rule:
    def told(_: _Reading) -> Interval:
        return low, high

    return told


def _moved(reading: _Reading) -> Interval:
    node = reading.node
    is_data = node.op == "Concat" or node.inputs[0] is reading.tensor
    return reading.after if is_data else EVERYTHING


def _relu(reading: _Reading) -> Interval:
    return 0.0, max(reading.after[1], 0.0)


def _clip(reading: _Reading) -> Interval:
    node, after = reading.node, reading.after
    low, high = (_clip_end(node, i, a, e) for i, a, e in ((1, "min", -inf), (2, "max", inf)))
    if node.inputs[0] is not reading.tensor or low is None or high is None:
        return EVERYTHING
    return max(low, min(after[0], high)), min(high, max(after[1], low))


def _clip_end(node: Node, index: int, attribute: str, absent: float) -> float | None:
    if len(node.inputs) <= index or not node.inputs[index].name:
        return float(node.attrs.get(attribute, absent))
    return _scalar(node.inputs[index])


def _hard_sigmoid(reading: _Reading) -> Interval:
    return _line_ends(reading.node)


def _line_ends(node: Node) -> Interval:
    """Where the rising line of a HardSigmoid begins and ends."""
    slope, middle = (float(node.attrs.get(k, d)) for k, d in (("alpha", 0.2), ("beta", 0.5)))
    return (-middle / slope, (1.0 - middle) / slope) if slope > 0 else EVERYTHING


def _add(reading: _Reading) -> Interval:
    addend = _other_scalar(reading.node, reading.tensor)
    if addend is None:
        return EVERYTHING
    return reading.after[0] - addend, reading.after[1] - addend


def _mul(reading: _Reading) -> Interval:
    node, tensor = reading.node, reading.tensor
    factor = _other_scalar(node, tensor)
    if factor is not None and factor > 0.0:
        return reading.after[0] / factor, reading.after[1] / factor
    if factor is None and node.inputs[0] is not node.inputs[1]:
        other = node.inputs[1] if node.inputs[0] is tensor else node.inputs[0]
        return _gate_opens(other, tensor), inf
    return EVERYTHING


def _gate_opens(gate: Tensor, tensor: Tensor) -> float:
    """Below which value of `tensor` the gate it is multiplied by is 0; -inf if never.

    The gate is clip(tensor + c, 0, …) or HardSigmoid(tensor), times a positive constant.
    """
    node = producer(gate)
    while node is not None and node.op in ("Mul", "Div"):
        factor = _scalar(node.inputs[1])
        if factor is None or factor <= 0.0:
            return -inf
        node = producer(node.inputs[0])
    if node is not None and node.op == "HardSigmoid" and node.inputs[0] is tensor:
        return _line_ends(node)[0]
    if node is None or node.op != "Clip" or _clip_end(node, 1, "min", -inf) != 0.0:
        return -inf
    shift = producer(node.inputs[0])
    if shift is None or shift.op != "Add" or not any(t is tensor for t in shift.inputs):
        return -inf
    addend = _other_scalar(shift, tensor)
    return -inf if addend is None else min(-addend, 0.0)


def _other_scalar(node: Node, tensor: Tensor) -> float | None:
    other = node.inputs[1] if node.inputs[0] is tensor else node.inputs[0]
    return _scalar(other)


def _scalar(tensor: Tensor) -> float | None:
    known = bound_constant(tensor)
    if known is None or known.size != 1 or known.stored.dtype.kind != "f":
        return None
    return float(read(known).reshape(-1)[0])


_Rule: TypeAlias = Callable[[_Reading], Interval]

_RULES: dict[str, _Rule] = {
    "Relu": _relu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _fixed(-3.0, inf),
    "Sigmoid": _fixed(-_SIGMOID_END, _SIGMOID_END),
    "Add": _add,
    "Mul": _mul,
    **dict.fromkeys(
        [
            "Concat",
            "DepthToSpace",
            "Flatten",
            "Gather",
            "GlobalMaxPool",
            "Identity",
            "MaxPool",
            "Reshape",
            "Slice",
            "SpaceToDepth",
            "Split",
            "Squeeze",
            "Transpose",
            "Unsqueeze",
        ],
        _moved,
    ),
}
"""What each operator's reader cannot tell apart; values are moved or selected by the last row."""
