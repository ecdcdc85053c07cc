"""Between which values a tensor lies, whatever the model is fed: read from the operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from onnxq.graph import Node, Tensor
from onnxq.rules.spelling import bounds
from onnxq.rules.workspace import Workspace

Range = tuple[float, float]

ANYTHING: Range = (-inf, inf)

_DEPTH = 5

_FIXED: Mapping[str, Range] = {
    "Abs": (0.0, inf),
    "Cos": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Exp": (0.0, inf),
    "HardSigmoid": (0.0, 1.0),
    "LogSoftmax": (-inf, 0.0),
    "ReduceL1": (0.0, inf),
    "ReduceL2": (0.0, inf),
    "ReduceSumSquare": (0.0, inf),
    "Sigmoid": (0.0, 1.0),
    "Sin": (-1.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softplus": (0.0, inf),
    "Softsign": (-1.0, 1.0),
    "Sqrt": (0.0, inf),
    "Tanh": (-1.0, 1.0),
}

_SELECTING = frozenset(
    [
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Results are elements of the first input, or means of them."""


def range_of(work: Workspace, tensor: Tensor, depth: int = _DEPTH) -> Range:
    """(lowest, highest) value a floating-point tensor can have, NaN aside."""
    known = work.scalar(tensor)
    if known is not None:
        return known, known
    node = work.producer(tensor)
    if node is None or depth == 0:
        return ANYTHING
    if node.op in _FIXED:
        return _FIXED[node.op]
    if node.op in _SELECTING:
        return range_of(work, node.inputs[0], depth - 1)
    if node.op in _COMBINED:
        return _COMBINED[node.op](work, node, depth - 1)
    clip = bounds(work, tensor, 1)
    return (clip.low, clip.high) if clip.nodes else ANYTHING


def _mul(work: Workspace, node: Node, depth: int) -> Range:
    if node.inputs[0] is node.inputs[1]:
        return 0.0, inf
    first, second = (range_of(work, t, depth) for t in node.inputs)
    if first[0] < 0.0 or second[0] < 0.0:
        return ANYTHING
    finite = first[1] < inf and second[1] < inf
    return first[0] * second[0], first[1] * second[1] if finite else inf


def _add(work: Workspace, node: Node, depth: int) -> Range:
    ranges = [range_of(work, t, depth) for t in node.inputs]
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def _hull(work: Workspace, node: Node, depth: int) -> Range:
    ranges = [range_of(work, t, depth) for t in node.inputs]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _average(work: Workspace, node: Node, depth: int) -> Range:
    """Averages may count zeros of the padding."""
    low, high = range_of(work, node.inputs[0], depth)
    return min(low, 0.0), max(high, 0.0)


def _power(work: Workspace, node: Node, depth: int) -> Range:
    exponent = work.scalar(node.inputs[1])
    even = exponent is not None and exponent % 2 == 0
    return (0.0, inf) if even or range_of(work, node.inputs[0], depth)[0] >= 0.0 else ANYTHING


def _total(work: Workspace, node: Node, depth: int) -> Range:
    low, high = range_of(work, node.inputs[0], depth)
    return 0.0 if low >= 0.0 else -inf, 0.0 if high <= 0.0 else inf


_COMBINED: Mapping[str, Callable[[Workspace, Node, int], Range]] = {
    "Add": _add,
    "AveragePool": _average,
    "Concat": _hull,
    "Mul": _mul,
    "Pow": _power,
    "ReduceSum": _total,
    "Sum": _add,
}
