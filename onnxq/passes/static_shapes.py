"""What a model asks about its own shapes, answered where its inputs leave no choice.

Integers computed from dimensions (Shape, Gather, Concat, Mul and so on) are constants where all
of them are numbers, however many free dimensions stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    bodies,
    constant,
    remove_dead_nodes,
    replace_uses,
)
from onnxq.passes.dimensions import Known, whole
from onnxq.passes.events import Applied, Event


def fold_shapes(model: Model, known: Known) -> Iterator[Event]:
    """Replace such nodes by constants.

    Args:
        model: The model.
        known: What is known of its dimensions.
    """
    values = ((node, _value(node, known)) for node in model.nodes)
    settled = {id(node): value for node, value in values if value is not None}
    changed = False
    for node in model.nodes:
        value = settled.get(id(node))
        output = node.outputs[0] if node.outputs else None
        if value is None or output is None or not _is_wanted(output, settled):
            continue
        value.name = model.new_name(f"{node.name}_value")
        replace_uses(output, value)
        what = "the shape" if node.op == "Shape" else "the result"
        yield Applied(node.name, f"{what} is always {value.values.tolist()}")
        changed = True
    if changed:
        remove_dead_nodes(model)


def _is_wanted(tensor: Tensor, settled: Mapping[int, Constant]) -> bool:
    """Whether a node reads it that is not replaced itself.

    Control flow is left alone: where a condition is constant, the engine takes the branch apart
    and checks it more strictly than it runs it.
    """
    return any(id(reader) not in settled and not bodies(reader) for reader in tensor.outputs)


def _value(node: Node, known: Known) -> Constant | None:
    """The constant a node of varying inputs computes; None if it is not known."""
    tensor = node.outputs[0] if node.outputs else None
    content = None if tensor is None else whole(known.contents.get(tensor.name))
    if tensor is None or content is None or not node.standard:
        return None
    shape, dtype = known.shape(tensor), known.dtype(tensor)
    if shape is None or dtype is None or all(isinstance(t, Constant) for t in node.inputs):
        return None
    return constant(tensor.name, np.asarray(content, dtype).reshape(len(shape) * (-1,)))
