"""The biases of layers: found, or given to layers that have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, constant, read, set_input
from onnxq.pruning import consumer_of

Array = NDArray[Any]

_BIAS = 2


@dataclass(frozen=True)
class Bias:
    """Where a bias is read."""

    node: Node
    index: int
    value: Array
    model: Model

    def add(self, shift: Array) -> None:
        """Give the layer a bias that is larger by so much; whoever else reads it keeps his."""
        moved = (self.value.reshape(-1) + shift).reshape(self.value.shape)
        name = self.model.new_name(f"{self.node.name}_bias_fitted")
        set_input(self.node, self.index, constant(name, moved.astype(self.value.dtype)))


def bias_of(node: Node, dtype: np.dtype[Any], model: Model) -> Bias | None:
    """The bias of a layer, one of zeros where it can have one, or that which an Add gives it."""
    if node.op != "MatMul":
        if len(node.inputs) > _BIAS and node.inputs[_BIAS].name:
            tensor = node.inputs[_BIAS]
            usable = (
                isinstance(tensor, Constant)
                and tensor.size == _outputs(node)
                and node.attrs.get("beta", 1.0) == 1.0
            )
            return Bias(node, _BIAS, read(tensor), model) if usable else None
        return Bias(node, _BIAS, np.zeros(_outputs(node), dtype), model)
    readers = node.outputs[0].outputs
    if len(readers) != 1 or readers[0].op != "Add":
        return None
    add, size = readers[0], _outputs(node)
    for index, tensor in enumerate(add.inputs):
        if isinstance(tensor, Constant) and tensor.stored.shape[-1:] == (size,):
            value = read(tensor)
            return Bias(add, index, value, model) if value.size == size else None
    return None


def _outputs(node: Node) -> int:
    consumer = consumer_of(node)
    assert consumer is not None
    return consumer.outputs
