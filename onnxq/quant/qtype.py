"""The integer types that tensors are stored in: 2 to 16 bits, signed or unsigned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto

from onnxq.errors import UsageError

_MIN_BITS, _MAX_BITS = 2, 16

# (bits stored, signed) -> numpy type, ONNX type
_STORAGE: dict[tuple[int, bool], tuple[np.dtype[Any], int]] = {
    (4, True): (np.dtype(ml_dtypes.int4), TensorProto.INT4),
    (4, False): (np.dtype(ml_dtypes.uint4), TensorProto.UINT4),
    (8, True): (np.dtype(np.int8), TensorProto.INT8),
    (8, False): (np.dtype(np.uint8), TensorProto.UINT8),
    (16, True): (np.dtype(np.int16), TensorProto.INT16),
    (16, False): (np.dtype(np.uint16), TensorProto.UINT16),
}


@dataclass(frozen=True)
class QType:
    """An integer type for quantized values.

    A width that ONNX has no type for (3, 5, 6, 7, 9 to 15 bits, and 2 bits before
    opset 25) is stored in the next wider type; its codes stay within its own range.

    Attributes:
        bits: Width of a code, 2 to 16.
        signed: Two's complement if true.
        narrowest: Fewest bits that a code is stored in: 4, or 8 where 4-bit types cannot be used.

    Raises:
        UsageError: The width is not an integer from 2 to 16, or `narrowest` neither 4 nor 8.
    """

    bits: int
    signed: bool
    narrowest: int = 4

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not _MIN_BITS <= self.bits <= _MAX_BITS:
            raise UsageError(
                f"a quantized type of {self.bits!r} bits is not supported",
                remedy=f"choose an integer from {_MIN_BITS} to {_MAX_BITS}",
            )
        if self.narrowest not in (4, 8):
            raise UsageError(f"{self.narrowest!r} is no narrowest storage", remedy="use 4 or 8")

    @property
    def minimum(self) -> int:
        """The lowest code of the full range."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """The highest code of the full range."""
        return self.minimum + (1 << self.bits) - 1

    @property
    def midpoint(self) -> int:
        """The zero point of a symmetric scheme: 0 if signed, else 2^(bits-1) (128 for uint8)."""
        return 0 if self.signed else 1 << (self.bits - 1)

    @property
    def storage(self) -> np.dtype[Any]:
        """The numpy type of the codes; int4 and uint4 are those of ml_dtypes, one byte each."""
        return _STORAGE[self.stored_bits, self.signed][0]

    @property
    def stored(self) -> QType:
        """The type that the codes are stored in, with its full range."""
        return replace(self, bits=self.stored_bits)

    @property
    def onnx_type(self) -> int:
        """The ``TensorProto.DataType`` number of the stored codes."""
        return _STORAGE[self.stored_bits, self.signed][1]

    @property
    def stored_bits(self) -> int:
        """Width of the type that stores the codes."""
        needed = max(self.bits, self.narrowest)
        return next(width for width in (4, 8, 16) if needed <= width)
