"""What a model asks about its own shapes, answered where its inputs leave no choice.

1. Shape of a tensor whose dimensions are all fixed is a constant.
2. Gather of fixed dimensions out of a partly free shape is a constant too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from onnxq.graph import (
    Model,
    Node,
    TensorType,
    bound_constant,
    constant,
    derive_types,
    read,
    remove_dead_nodes,
    replace_uses,
)
from onnxq.passes.events import Applied, Event


def fold_shapes(model: Model) -> Iterator[Event]:
    """Replace such nodes by constants, until nothing more follows."""
    while events := list(_once(model, derive_types(model))):
        yield from events
        remove_dead_nodes(model)


def _once(model: Model, types: Mapping[str, TensorType]) -> Iterator[Event]:
    main = {id(node) for node in model.nodes}
    for node in model.nodes:
        output = node.outputs[0] if node.outputs else None
        if node.op != "Shape" or not node.standard or output is None or not output.outputs:
            continue
        shape = types.get(node.inputs[0].name, (None, None))[1]
        if shape is None:
            continue
        shape = shape[slice(node.attrs.get("start", 0), node.attrs.get("end"))]
        if all(isinstance(d, int) and d >= 0 for d in shape):
            value = np.asarray(shape, np.int64)
            replace_uses(output, constant(model.new_name(f"{node.name}_value"), value))
            yield Applied(node.name, f"the shape is always {list(shape)}")
            continue
        for reader in [r for r in output.outputs if id(r) in main]:
            yield from _fold_gather(model, reader, shape)


def _fold_gather(model: Model, node: Node, shape: tuple[int | str | None, ...]) -> Iterator[Event]:
    if node.op != "Gather" or not node.standard or not node.outputs[0].outputs:
        return
    index = bound_constant(node.inputs[1])
    if index is None:
        return
    wanted = read(index)
    if not all(-len(shape) <= int(i) < len(shape) for i in wanted.reshape(-1)):
        return
    picked = [shape[int(i)] for i in wanted.reshape(-1)]
    if picked and all(isinstance(d, int) and d >= 0 for d in picked):
        value = np.asarray(picked, np.int64).reshape(wanted.shape)
        replace_uses(node.outputs[0], constant(model.new_name(f"{node.name}_value"), value))
        yield Applied(node.name, f"the dimension is always {picked}")
