"""Give layers without a bias one of zeros, so that there is something to correct.

    Conv(x, W) = Conv(x, W, 0)        ConvTranspose and Gemm likewise

Engines add a bias in integers within the layer: it costs nothing that could be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from onnxq.graph import Model, Node, bound_constant, constant, set_input
from onnxq.passes.events import Applied, Event

_BIAS = 2


@dataclass(frozen=True)
class AddBiases:
    """Add zero biases to Conv, ConvTranspose and Gemm with a constant float32 weight."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        for node in model.nodes:
            channels = _channels(node)
            if channels:
                name = model.new_name(f"{node.name}_bias")
                set_input(node, _BIAS, constant(name, np.zeros(channels, np.float32)))
                yield Applied(node.name, f"got a bias of {channels} zeros")


def _channels(node: Node) -> int:
    """Length of the bias that a node lacks; 0 if it lacks none."""
    if not node.standard or node.op not in ("Conv", "ConvTranspose", "Gemm"):
        return 0
    if len(node.inputs) < _BIAS or (len(node.inputs) > _BIAS and node.inputs[_BIAS].name):
        return 0
    weight = bound_constant(node.inputs[1])
    if weight is None or weight.stored.dtype != np.float32 or not prod(weight.stored.shape):
        return 0
    shape: tuple[int, ...] = tuple(weight.stored.shape)
    if node.op == "Gemm":
        return shape[0] if node.attrs.get("transB", 0) else shape[1]
    if node.op == "ConvTranspose":
        return shape[1] * int(node.attrs.get("group", 1))
    return shape[0]
