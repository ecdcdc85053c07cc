"""Do stored tensors hold what they say? Readers rely on it: counts of elements, and bounds.

The rules are those of the ONNX specification (onnx.proto, TensorProto and SparseTensorProto):

1. Dimensions are not negative, and the bytes stored are those of that many elements.
2. External data is described by whole numbers, and its length is that of the elements.
3. A sparse tensor's values and indices lie in the file, and the indices within its dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from onnxq.errors import ModelError
from onnxq.graph.elements import element_bits, element_type
from onnxq.limits import check_fits

RawLength: TypeAlias = Callable[[TensorProto], int]
"""Bytes of a tensor's raw data, wherever these lie."""

_FIELDS: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
"""Where a type's elements lie that are not raw; `int32_data` for all others."""

_PAIRS = frozenset([TensorProto.COMPLEX64, TensorProto.COMPLEX128])
_MOST_DIMENSIONS = 64
"""numpy has no more."""


def raw_length(tensor: TensorProto) -> int:
    """Bytes of the raw data inside a tensor."""
    return len(tensor.raw_data)


def check_tensor(tensor: TensorProto, stored: RawLength = raw_length) -> None:
    """Check a dense tensor.

    Raises:
        ModelError: names the tensor and what does not fit.
    """
    count = _count(tensor)
    if tensor.data_location == TensorProto.EXTERNAL:
        _check_external(tensor, count)
    elif tensor.HasField("raw_data"):
        _check_raw(tensor, count, stored(tensor))
    else:
        _check_field(tensor, count)


def check_sparse(sparse: onnx.SparseTensorProto) -> None:
    """Check a sparse tensor, which must fit into memory when it is spread over its zeros.

    Raises:
        ModelError: names the tensor and what does not fit.
    """
    values, indices = sparse.values, sparse.indices
    for part in (values, indices):
        if part.data_location == TensorProto.EXTERNAL:
            raise _unsound(values, "parts of a sparse tensor cannot lie in another file")
        check_tensor(part)
    dims = tuple(sparse.dims)
    count = _product(values, dims)
    check_fits(count * element_type(values.data_type).itemsize, f"tensor '{values.name}'")
    if indices.data_type != TensorProto.INT64 or len(values.dims) != 1:
        raise _unsound(values, "its values are no row, or its indices no integers")
    places = numpy_helper.to_array(indices)
    number = values.dims[0]
    if places.shape == (number,):
        bounds = np.array(count)
    elif places.shape == (number, len(dims)):
        bounds = np.array(dims, np.int64)
    else:
        raise _unsound(values, f"{number} values have indices of shape {places.shape}")
    if ((places < 0) | (places >= bounds)).any():
        raise _unsound(values, "an index lies outside of its dimensions")


def _count(tensor: TensorProto) -> int:
    element_type(tensor.data_type)
    if tensor.HasField("segment"):
        raise _unsound(tensor, "it is stored in segments, which nothing reads")
    return _product(tensor, tuple(tensor.dims))


def _product(tensor: TensorProto, dims: tuple[int, ...]) -> int:
    if len(dims) > _MOST_DIMENSIONS:
        raise _unsound(tensor, f"it has {len(dims)} dimensions")
    if any(size < 0 for size in dims):
        raise _unsound(tensor, f"a dimension of {list(dims)} is negative")
    return math.prod(dims)


def _check_raw(tensor: TensorProto, count: int, found: int) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise _unsound(tensor, "texts cannot be stored as raw bytes")
    needed = -(-count * element_bits(element_type(tensor.data_type)) // 8)
    if found != needed:
        raise _unsound(tensor, f"{found} bytes are stored, and {list(tensor.dims)} needs {needed}")


def _check_field(tensor: TensorProto, count: int) -> None:
    found = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
    bits = element_bits(element_type(tensor.data_type))
    per_entry = 8 // bits if bits < 8 else 1
    needed = count * 2 if tensor.data_type in _PAIRS else -(-count // per_entry)
    if found != needed:
        raise _unsound(
            tensor, f"{found} numbers are stored, and {list(tensor.dims)} needs {needed}"
        )


def _check_external(tensor: TensorProto, count: int) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise _unsound(tensor, "texts cannot lie in another file")
    numbers = {e.key: e.value for e in tensor.external_data if e.key in ("offset", "length")}
    for key, text in numbers.items():
        if not (text.isascii() and text.isdigit() and int(text) < 2**63):
            raise _unsound(tensor, f"the {key} of its external data is '{text[:40]}'")
    needed = -(-count * element_bits(element_type(tensor.data_type)) // 8)
    given = numbers.get("length")
    if given is not None and int(given) != needed:
        raise _unsound(tensor, f"{given} bytes lie outside, and {list(tensor.dims)} needs {needed}")


def _unsound(tensor: TensorProto, why: str) -> ModelError:
    return ModelError(
        "a stored tensor is damaged",
        where=f"tensor '{tensor.name}'",
        why=why,
        remedy="export or copy the model again",
    )
