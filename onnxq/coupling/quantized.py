"""QuantizeLinear and DequantizeLinear: scales and zero points per channel belong to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onnxq.coupling.factors import Factor
from onnxq.coupling.groups import Side
from onnxq.coupling.walk import Walk, stop
from onnxq.graph import Node


def pass_quantized(walk: Walk, node: Node) -> None:
    """Carry labels through; a masked value other than zero would be rounded."""
    shape = walk.shape(node.inputs[0])
    if shape is None:
        stop(walk, node, "has an unknown shape")
        return
    if node.attrs.get("block_size", 0):
        stop(walk, node, "has one scale per block")
        return
    zero_point = walk.shapes.input(node, 2)
    axis = node.attrs.get("axis", 1) % len(shape) if shape else 0
    own = walk.factors(node.inputs[0])
    channel = next((f for f in own if f.axes == (axis,)), None)
    for tensor in node.inputs[1:]:
        for factor in walk.factors(tensor):
            walk.use(factor, Side.BESIDE, node, masked=False)
            if channel is None:
                walk.freeze([factor], f"'{node.inputs[0].name}' has no channels of its own")
            else:
                walk.labels.unite(channel.labels.reshape(-1), factor.labels.reshape(-1))
        if tensor.name and not walk.shapes.is_constant(tensor):
            walk.freeze(own, f"'{tensor.name}' of '{node.name}' ({node.op}) is computed")
    name = "" if zero_point is None else zero_point.name
    found = []
    for factor in own:
        sources = tuple(
            replace(s, zero_point=name or s.zero_point, direct=False) for s in factor.sources
        )
        dead = factor.dead if sources else np.where(factor.dead == 0, 0.0, np.nan)
        found.append(Factor(factor.labels, dead, sources))
    walk.emit(node.outputs[0], found)
