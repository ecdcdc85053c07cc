"""The weight of a layer as outputs × inputs, whichever way its operator stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, read
from onnxq.rules.scaling.flow import Operand
from onnxq.rules.scaling.labels import LabelArray


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """The weight of one layer, seen from its inputs.

    Attributes:
        tensor: The tensor that the layer reads.
        largest: Largest absolute weight over all taps, [outputs, inputs of a group].
        squares: Sum of squares over all taps, likewise.
        labels: Which factor each input takes: [1 or outputs, inputs of a group].
        taps: How many taps there are.
    """

    tensor: str
    largest: NDArray[np.float64]
    squares: NDArray[np.float64]
    labels: LabelArray
    taps: int


def weights_of(operand: Operand) -> LayerWeights:
    """The weight of a layer (Conv, ConvTranspose, Gemm, MatMul) that takes factors in."""
    node, tensor = operand.node, operand.node.inputs[operand.index]
    assert isinstance(tensor, Constant)
    value, labels = np.abs(np.asarray(read(tensor), np.float64)), operand.labels
    labels = labels.reshape((1,) * (value.ndim - labels.ndim) + labels.shape)
    if node.op == "MatMul" or (node.op == "Gemm" and not node.attrs.get("transB", 0)):
        value, labels = value.T, labels.T
    if node.op == "ConvTranspose":
        groups = int(node.attrs.get("group", 1))
        labels = np.broadcast_to(labels, (*value.shape[:2], *labels.shape[2:]))
        value, labels = _outputs_first(value, groups), _outputs_first(labels, groups)
    taps = tuple(range(2, value.ndim))
    flat = np.broadcast_to(labels.reshape(labels.shape[:2]), (len(labels), value.shape[1]))
    return LayerWeights(
        tensor=node.inputs[0].name,
        largest=value.max(taps),
        squares=np.square(value).sum(taps),
        labels=flat,
        taps=int(np.prod(value.shape[2:])),
    )


def _outputs_first(value: NDArray[Any], groups: int) -> NDArray[Any]:
    """[inputs, outputs of a group, …] as [outputs, inputs of a group, …]."""
    inputs, outputs = value.shape[:2]
    parts = value.reshape(groups, inputs // groups, outputs, *value.shape[2:])
    return parts.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *value.shape[2:])
