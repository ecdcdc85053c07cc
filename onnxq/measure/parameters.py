"""How many parameters a model has, of which types, and how many of them are zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from onnxq.measure.protos import (
    CODE_TYPES,
    FLOAT_TYPES,
    ConstantTensor,
    ModelSource,
    attributes,
    constants,
    directory_of,
    dtype_name,
    load_proto,
    nodes,
)

_UNCOUNTED = frozenset(
    {TensorProto.STRING, TensorProto.BOOL, TensorProto.COMPLEX64, TensorProto.COMPLEX128}
)


@dataclass(frozen=True)
class Zeros:
    """Zeros of one weight tensor.

    Attributes:
        tensor: Its name.
        zeros: Number of elements that stand for zero; of quantized weights those equal to
            the zero point.
        size: Number of elements.
    """

    tensor: str
    zeros: int
    size: int

    @property
    def share(self) -> float:
        """Share of zeros, 0.0 for an empty tensor."""
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class Parameters:
    """The constants of a model, each counted once however often it is used.

    Attributes:
        by_dtype: Number of elements by element type, largest first.
        floating: Elements of floating-point types.
        integer: Elements of integer types, shapes and indices included.
        weights: Zeros of every weight: a constant of rank 2 or more that is floating or
            has at most 16 bits.
    """

    by_dtype: Mapping[str, int]
    floating: int
    integer: int
    weights: tuple[Zeros, ...]

    @property
    def total(self) -> int:
        """All elements."""
        return sum(self.by_dtype.values())

    @property
    def sparsity(self) -> float:
        """Share of zeros over all weights, 0.0 if there are none."""
        size = sum(weight.size for weight in self.weights)
        return sum(weight.zeros for weight in self.weights) / size if size else 0.0


def count_parameters(source: ModelSource) -> Parameters:
    """Count the elements of all constants and the zeros of the weights.

    One weight is read at a time, so memory is that of the largest tensor.

    Raises:
        ModelError: if the model or its external data cannot be read.
    """
    model = load_proto(source)
    totals: Counter[str] = Counter()
    floating = integer = 0
    found = list(constants(model))
    for tensor in found:
        totals[dtype_name(tensor.dtype)] += tensor.size
        is_float = tensor.dtype in FLOAT_TYPES
        floating += tensor.size if is_float else 0
        integer += tensor.size if not is_float and tensor.dtype not in _UNCOUNTED else 0
    zeros = tuple(_zeros(model, found, directory_of(source)))
    return Parameters(dict(totals.most_common()), floating, integer, zeros)


def _zeros(
    model: onnx.ModelProto, found: list[ConstantTensor], directory: Path | None
) -> Iterator[Zeros]:
    by_name = {tensor.name: tensor for tensor in found}
    dequantizers = {
        node.input[0]: node
        for node in nodes(model)
        if node.op_type == "DequantizeLinear" and node.input
    }
    for tensor in found:
        if len(tensor.shape) < 2 or tensor.dtype not in FLOAT_TYPES | CODE_TYPES:
            continue
        values = tensor.value(directory)
        if len(tensor.stored) > 1:
            stored = int(np.count_nonzero(values))
        else:
            zero = _zero_code(dequantizers.get(tensor.name), by_name, tensor.shape, directory)
            stored = _different(values, zero)
        yield Zeros(tensor.name, tensor.size - stored, tensor.size)


def _different(values: NDArray[Any], zero: NDArray[Any]) -> int:
    """Number of elements that differ from zero's code (sub-byte types compare as int32)."""
    if values.dtype.kind == "V":
        values = values.astype(np.float32)
    return int(np.count_nonzero(values != zero.astype(values.dtype)))


def _zero_code(
    dequantizer: NodeProto | None,
    constants_by_name: Mapping[str, ConstantTensor],
    shape: tuple[int, ...],
    directory: Path | None,
) -> NDArray[Any]:
    """What stands for zero, broadcastable to `shape`: the zero point, or plain zero."""
    plain = np.zeros((), np.float32)
    if dequantizer is None or len(dequantizer.input) < 3:
        return plain
    point = constants_by_name.get(dequantizer.input[2])
    if point is None:
        return plain
    codes = point.value(directory).astype(np.float32)
    if codes.size == 1:
        return codes.reshape(())
    settings = attributes(dequantizer)
    axis = int(settings.get("axis", 1)) % len(shape)
    block = int(settings.get("block_size", 0))
    if block > 0 and codes.ndim == len(shape) and codes.shape[axis] == -(-shape[axis] // block):
        spread = np.repeat(codes, min(block, shape[axis]), axis=axis)
        codes = np.take(spread, range(shape[axis]), axis=axis)
    elif codes.shape == (shape[axis],):
        codes = codes.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    # Points of another shape are an error of the model, which engines refuse.
    fits = codes.ndim == len(shape) and all(
        a in (1, b) for a, b in zip(codes.shape, shape, strict=True)
    )
    return codes if fits else plain
