"""Scale and zero point of a tensor as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError
from onnxq.quant.reading import Reader
from onnxq.quant.scheme import Scheme


@dataclass(frozen=True, eq=False)
class QParams:
    """The numbers that turn real values into codes and back: real = scale * (code - zero_point).

    Attributes:
        scheme: The scheme these numbers belong to.
        scale: float32; 0-d per tensor, 1-D per channel, and for blocks the tensor's shape
            with the blocked axis divided by the block size.
        zero_point: Same shape, of the scheme's storage type.

    Raises:
        UsageError: A type or shape differs from the above, or a scale is not positive and finite.
    """

    scheme: Scheme
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]

    def __post_init__(self) -> None:
        storage = self.scheme.qtype.storage
        if self.scale.dtype != np.float32 or self.zero_point.dtype != storage:
            raise UsageError(
                f"scale is {self.scale.dtype} and zero point {self.zero_point.dtype}",
                where="quantization parameters",
                remedy=f"use float32 and {storage}",
            )
        if self.scale.shape != self.zero_point.shape:
            raise UsageError(
                f"scale {self.scale.shape} and zero point {self.zero_point.shape} differ in shape",
                where="quantization parameters",
            )
        if not np.all((self.scale > 0) & (self.scale < np.inf)):
            raise UsageError("a scale is not positive and finite", where="quantization parameters")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QParams):
            return NotImplemented
        return (
            self.scheme == other.scheme
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def __hash__(self) -> int:
        return hash((self.scheme, self.scale.tobytes(), self.zero_point.tobytes()))

    def to_dict(self) -> dict[str, object]:
        """The parameters as JSON values; every scale survives the round trip bit for bit."""
        return {
            "scheme": self.scheme.to_dict(),
            "scale": self.scale.tolist(),
            "zero_point": self.zero_point.astype(np.int32).tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> QParams:
        """Read parameters from JSON values.

        Raises:
            UsageError: A key is missing, unknown or of the wrong type, or a zero point is
                outside the range of its scheme.
        """
        reader = Reader(data, "quantization parameters")
        scheme = Scheme.from_dict(reader.mapping("scheme"))
        with np.errstate(over="ignore"):
            scale = _numbers(reader, "scale").astype(np.float32)
        codes = _numbers(reader, "zero_point")
        reader.finish()
        outside = (codes < scheme.minimum) | (codes > scheme.maximum) | (codes != np.rint(codes))
        if np.any(outside):
            raise UsageError(
                "a zero point is not a code of the scheme",
                where="quantization parameters",
                remedy=f"use integers from {scheme.minimum} to {scheme.maximum}",
            )
        zero_point = codes.astype(np.int32).astype(scheme.qtype.storage)
        return cls(scheme, scale, zero_point)


def _numbers(reader: Reader, key: str) -> NDArray[np.float64]:
    """A number or nested lists of numbers; float64 holds every float32 and every code."""
    value = reader.value(key)
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"key {key!r} is not a number or a regular list of numbers",
            where="quantization parameters",
        ) from error
