"""Operators that work on each element by itself, so that moving elements about commutes."""

from __future__ import annotations

from onnxq.graph import Node, Tensor
from onnxq.rules.spelling import bounds
from onnxq.rules.workspace import Workspace

ZERO_STAYS_ZERO = frozenset(
    [
        "Abs", "Ceil", "Celu", "Elu", "Erf", "Floor", "Gelu", "HardSwish", "LeakyRelu", "Mish",
        "Neg", "Relu", "Round", "Selu", "Sign", "Softsign", "Sqrt", "Swish", "Tanh",
    ]
)  # fmt: skip
"""Operators of one input with f(0) = 0."""

ELEMENTWISE = ZERO_STAYS_ZERO | frozenset(["Clip", "Exp", "HardSigmoid", "Sigmoid", "Softplus"])
"""Operators of one input of any size; what Clip reads besides is scalars."""

NEVER_NEGATIVE = frozenset(
    ["Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"]
)

_DEPTH = 4


def keeps_zero(work: Workspace, node: Node) -> bool:
    """Whether an operator of one input turns 0 into 0."""
    if node.op == "Clip":
        clip = bounds(work, node.outputs[0], depth=1)
        return bool(clip.nodes) and clip.low <= 0.0 <= clip.high
    return node.op in ZERO_STAYS_ZERO


def lower_bound(work: Workspace, tensor: Tensor) -> float:
    """A value that no element is below; minus infinity if none is known."""
    clip = bounds(work, tensor)
    if clip.nodes:
        return clip.low
    node = work.producer(tensor, *NEVER_NEGATIVE, "MaxPool")
    for _ in range(_DEPTH):
        if node is None or node.op in NEVER_NEGATIVE:
            break
        node = work.producer(node.inputs[0], *NEVER_NEGATIVE, "MaxPool")
    return float("-inf") if node is None or node.op == "MaxPool" else 0.0


def behind_elementwise(work: Workspace, tensor: Tensor) -> list[Node]:
    """Elementwise nodes that lead up from `tensor`, the last first.

    What they give is read by the next of them alone.
    """
    nodes: list[Node] = []
    while len(nodes) < _DEPTH and work.only_reader(tensor) is not None:
        node = work.producer(tensor, *ELEMENTWISE)
        if node is None:
            break
        nodes.append(node)
        tensor = node.inputs[0]
    return nodes
