"""A constant in integers: its codes, and the parameters that give them their meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from onnxq.quant.arithmetic import dequantize, quantize
from onnxq.quant.qparams import QParams


@dataclass(frozen=True)
class Codes:
    """An array stored in integers, however it was rounded.

    Attributes:
        values: The integers, in the storage type of the scheme, of the array's shape.
        parameters: Their scale and zero point.
    """

    values: NDArray[Any]
    parameters: QParams

    @classmethod
    def nearest(cls, array: NDArray[Any], parameters: QParams) -> Codes:
        """Round every element of a float32 array to the nearest code."""
        return cls(quantize(array, parameters), parameters)

    def floats(self) -> NDArray[Any]:
        """The float32 values that the codes stand for."""
        return dequantize(self.values, self.parameters)
