"""How many bits a stored weight takes, with the scales and zero points that belong to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper

LINEAR = ("MatMul", "Gemm")
NARROW_BITS: Mapping[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4}


def bits_per_weight(model: Path) -> float | None:
    """Return the mean over the quantized weights of the linear layers, or None without any.

    Counted are MatMulNBits, and DequantizeLinear of an initializer read by MatMul or Gemm.
    """
    counted = list(_counted(onnx.load(model).graph))
    weights = sum(count for count, _ in counted)
    return sum(bits for _, bits in counted) / weights if weights else None


def _counted(graph: onnx.GraphProto) -> Iterator[tuple[int, int]]:
    """Number of weights, and bits of all that stores them, for each layer."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    linear_inputs = {name for node in graph.node if node.op_type in LINEAR for name in node.input}
    for node in graph.node:
        parts = [stored[name] for name in node.input if name in stored]
        if node.op_type == "MatMulNBits":
            sizes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            yield sizes["K"] * sizes["N"], sum(map(_bits, parts))
        elif node.op_type == "DequantizeLinear" and node.output[0] in linear_inputs:
            # Activations have no value here, and biases only one axis.
            if node.input[0] not in stored or len(parts[0].dims) < 2:
                continue
            yield _count(parts[0]), sum(map(_bits, parts))


def _bits(tensor: TensorProto) -> int:
    width = NARROW_BITS.get(tensor.data_type)
    if width is None:
        width = 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return _count(tensor) * width


def _count(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)
