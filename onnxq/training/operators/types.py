"""Element types: ONNX's and numpy's in torch.

torch computes hardly anything in unsigned integers beyond 8 bits, and has no 4-bit ones. They
are held in the next signed type that has room (uint64 in int64), 4-bit ones in int8 and uint8.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

_KNOWN = frozenset(TensorProto.DataType.keys())
"""Names of the types that this version of onnx has."""

_BY_NAME: dict[str, torch.dtype] = {
    "FLOAT": torch.float32,
    "DOUBLE": torch.float64,
    "FLOAT16": torch.float16,
    "BFLOAT16": torch.bfloat16,
    "FLOAT8E4M3FN": torch.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": torch.float8_e4m3fnuz,
    "FLOAT8E5M2": torch.float8_e5m2,
    "FLOAT8E5M2FNUZ": torch.float8_e5m2fnuz,
    "INT64": torch.int64,
    "INT32": torch.int32,
    "INT16": torch.int16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "BOOL": torch.bool,
    "UINT16": torch.int32,
    "UINT32": torch.int64,
    "UINT64": torch.int64,
    "INT4": torch.int8,
    "UINT4": torch.uint8,
    "INT2": torch.int8,
    "UINT2": torch.uint8,
}

TORCH_TYPES: dict[int, torch.dtype] = {
    TensorProto.DataType.Value(name): dtype for name, dtype in _BY_NAME.items() if name in _KNOWN
}
"""torch's type for each ONNX element type that can be held."""

CODE_RANGES: dict[int, tuple[int, int]] = {
    TensorProto.DataType.Value(name): (-(1 << bits - 1), (1 << bits - 1) - 1)
    if name.startswith("INT")
    else (0, (1 << bits) - 1)
    for name, bits in [
        *(("INT2", 2), ("UINT2", 2), ("INT4", 4), ("UINT4", 4), ("INT8", 8), ("UINT8", 8)),
        *(("INT16", 16), ("UINT16", 16), ("INT32", 32)),
    ]
    if name in _KNOWN
}
"""Lowest and highest integer of each ONNX type that quantization uses."""

_WIDENED = {
    "uint16": np.int32,
    "uint32": np.int64,
    "uint64": np.int64,
    "int4": np.int8,
    "uint4": np.uint8,
    "int2": np.int8,
    "uint2": np.uint8,
}

_VIEWED: dict[str, tuple[type[Any], torch.dtype]] = {
    "bfloat16": (np.int16, torch.bfloat16),
    "float8_e4m3fn": (np.uint8, torch.float8_e4m3fn),
    "float8_e4m3fnuz": (np.uint8, torch.float8_e4m3fnuz),
    "float8_e5m2": (np.uint8, torch.float8_e5m2),
    "float8_e5m2fnuz": (np.uint8, torch.float8_e5m2fnuz),
}


def tensor_of(array: NDArray[Any]) -> Tensor:
    """A tensor that shares the array's memory where it can. Never write to it.

    Args:
        array: Any shape; numbers or booleans.

    Raises:
        TypeError: if torch has no such elements (strings).
    """
    value = np.asarray(array)
    name = value.dtype.name
    if name in _WIDENED:
        value = value.astype(_WIDENED[name])
    kind = None
    if name in _VIEWED:
        plain, kind = _VIEWED[name]
        value = value.view(plain)
    if not value.flags.c_contiguous:
        value = np.ascontiguousarray(value).reshape(value.shape)
    with warnings.catch_warnings():
        # torch warns of memory that may not be written to, which nobody does.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        shared = torch.from_numpy(value)
    return shared if kind is None else shared.view(kind)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The value of a tensor in numpy; bfloat16 and float8 as ml_dtypes has them."""
    value = tensor.detach().cpu().contiguous()
    for name, (plain, kind) in _VIEWED.items():
        if value.dtype == kind:
            raw = value.view(torch.int16 if plain is np.int16 else torch.uint8).numpy()
            return raw.view(np.dtype(name))
    return value.numpy()
