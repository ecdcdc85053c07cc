"""Which constants of a model train, and which only look like it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxq.graph import Constant, Model, Tensor, read

_FLOATS = frozenset(["float16", "bfloat16", "float32", "float64"])

_CARRIERS = frozenset(
    [
        *("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice"),
        *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    ]
)
"""Operators whose result is a weight if their first input is one."""

_TRAINED: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "Einsum": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "SimplifiedLayerNormalization": (1,),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "PRelu": (1,),
    "Gather": (0,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "BiasGelu": (1,),
    "FastGelu": (1,),
    "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3),
    "EmbedLayerNormalization": (2, 3, 4, 5, 6),
    "Attention": (1, 2),
    "MultiHeadAttention": (3,),
    "MatMulNBits": (5,),
}
"""Inputs that are weights whatever their size, by operator."""

_TRAINED_IF_MANY: Mapping[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (0, 1),
    "Sum": tuple(range(64)),
}
"""Inputs that are weights unless they are a single number, which is part of a formula."""

_MASKED = 1e4
"""Magnitude from which on an added constant is a mask, not a weight."""


def trained_constants(model: Model) -> dict[str, Constant]:
    """The float constants of the main graph that training may change, by name."""
    found: dict[str, Constant] = {}
    for node in model.nodes:
        for tensor in node.inputs:
            if isinstance(tensor, Constant) and tensor.name not in found and _trains(tensor):
                found[tensor.name] = tensor
    return found


def _trains(tensor: Constant) -> bool:
    stored = tensor.stored
    if stored.dtype.name not in _FLOATS or not tensor.size:
        return False
    return _is_read_as_weight(tensor, many=tensor.size > 1) and not _is_mask(tensor)


def _is_read_as_weight(tensor: Tensor, *, many: bool) -> bool:
    for node in tensor.outputs:
        for index, source in enumerate(node.inputs):
            if source is not tensor:
                continue
            if index in _TRAINED.get(node.op, ()):
                return True
            if many and index in _TRAINED_IF_MANY.get(node.op, ()):
                return True
            carried = node.op in _CARRIERS and (index == 0 or node.op == "Concat")
            if carried and any(_is_read_as_weight(t, many=many) for t in node.outputs):
                return True
    return False


def _is_mask(tensor: Constant) -> bool:
    if not any(node.op in _TRAINED_IF_MANY for node in tensor.outputs):
        return False
    value = read(tensor).astype(np.float32)
    return bool((~np.isfinite(value)).any() or np.abs(value).max() >= _MASKED)


def running_statistics(model: Model) -> dict[str, Constant]:
    """Means and variances of batch normalisations, by name."""
    found: dict[str, Constant] = {}
    for node in model.nodes:
        if node.op == "BatchNormalization" and node.standard:
            for tensor in node.inputs[3:5]:
                if isinstance(tensor, Constant):
                    found[tensor.name] = tensor
    return found
