"""Classes of torch modules and the operators of ONNX that they become."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.compat.torch_names import constant_behind
from onnxq.graph import Constant, Node

_WEIGHT = {
    "Conv": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "LSTM": 1,
    "GRU": 1,
    "RNN": 1,
    "Gather": 0,
}
"""Which input of an operator is its weight."""

_BY_RANK = ("Conv", "ConvTranspose")

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "Gemm": ("Linear",),
    "MatMul": ("Linear",),
    "LSTM": ("LSTM",),
    "GRU": ("GRU",),
    "RNN": ("RNN",),
    "Gather": ("Embedding",),
    "BatchNormalization": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "InstanceNormalization": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "LayerNormalization": ("LayerNorm",),
    "GroupNormalization": ("GroupNorm",),
    "Relu": ("ReLU",),
    "Clip": ("ReLU6", "Hardtanh"),
    "LeakyRelu": ("LeakyReLU",),
    "PRelu": ("PReLU",),
    "Elu": ("ELU",),
    "Gelu": ("GELU",),
    "Sigmoid": ("Sigmoid",),
    "Tanh": ("Tanh",),
    "HardSigmoid": ("Hardsigmoid",),
    "HardSwish": ("Hardswish",),
    "Softmax": ("Softmax",),
    "MaxPool": ("MaxPool1d", "MaxPool2d", "MaxPool3d"),
    "AveragePool": ("AvgPool1d", "AvgPool2d", "AvgPool3d"),
    "GlobalAveragePool": ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"),
    "Flatten": ("Flatten",),
    "Dropout": ("Dropout",),
}

_RANKED = tuple(f"{op}{n}d" for op in _BY_RANK for n in (1, 2, 3))

KNOWN_CLASSES = frozenset(name for names in _CLASSES.values() for name in names) | set(_RANKED)


def weight_of(node: Node) -> Constant | None:
    """The constant that a node multiplies by, or looks rows up in."""
    index = _WEIGHT.get(node.op)
    if index is None or len(node.inputs) <= index or not node.standard:
        return None
    return constant_behind(node.inputs[index])


def types_of(node: Node) -> tuple[str, ...]:
    """What users may call a node's type: the operator, and classes of torch modules."""
    weight = weight_of(node)
    if node.op in _BY_RANK:
        rank = 0 if weight is None else len(weight.stored.shape)
        return (node.op, *((f"{node.op}{rank - 2}d",) if rank > 2 else ()))
    if node.op in _WEIGHT and weight is None:
        return (node.op,)
    return (node.op, *_CLASSES.get(node.op, ()))
