"""Let two nodes, one of which alone reads the other, change places.

Which of them keeps its name matters to whoever refers to nodes by name: it is the layer with
weights, wherever that is possible.
"""

from __future__ import annotations

from typing import Any

from onnxq.graph import Node, Tensor, Variable
from onnxq.rules.workspace import Shape, Workspace


def put_before(work: Workspace, upper: Node, lower: Node, shape: Shape | None) -> Node:
    """Make a copy of `lower` that reads what `upper` read, and let `upper` read the copy.

    Args:
        work: Where both live.
        upper: The node that came first and will come last; it keeps its name.
        lower: The only reader of `upper`, which goes.
        shape: Of what will lie between the two.

    Returns:
        The copy.
    """
    result = lower.outputs[0]
    between = _copy(work, lower, upper.inputs[0], shape)
    work.rewire(upper, 0, between)
    work.set_type(upper.outputs[0], work.shape(result))
    work.substitute(result, upper.outputs[0])
    return between.inputs[0]


def put_behind(work: Workspace, upper: Node, lower: Node, shape: Shape | None) -> Node:
    """Let `lower` read what `upper` read, and a copy of `upper` read `lower`.

    Where the model returns the result of `lower`, that name passes to the copy, and `lower` is
    copied too.

    Returns:
        The copy of `upper`.
    """
    source, result = upper.inputs[0], lower.outputs[0]
    final = work.shape(result)
    if work.is_held(result):
        first: Tensor = _copy(work, lower, source, shape)
        last = _copy(work, upper, first, final)
        work.substitute(result, last)
        return last.inputs[0] if last.inputs else result.inputs[0]
    last = _copy(work, upper, source, final)
    work.rewire(lower, 0, source)
    work.substitute(result, last)
    work.rewire(last.inputs[0], 0, result)
    work.set_type(result, shape)
    return last.inputs[0]


def _copy(work: Workspace, node: Node, source: Tensor, shape: Shape | None) -> Variable:
    rest: list[Tensor | None] = [t if t.name else None for t in node.inputs[1:]]
    attrs: dict[str, Any] = dict(node.attrs)
    return work.add(node.op, [source, *rest], name=node.name, attrs=attrs, shape=shape)
