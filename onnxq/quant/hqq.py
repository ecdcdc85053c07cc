"""HQQ: scales and zero points from the weights alone, by half-quadratic splitting.

With Ŵ(s, z) = s (q - z) and q = clip(round(W / s) + z), the error's l_p norm, p < 1, is split by
an auxiliary E that takes over large errors (Badri and Shaji 2023, "Half-Quadratic Quantization of
Large Machine Learning Models"):

    min over z, E of  ‖E‖_p^p + β/2 ‖E - (W - Ŵ)‖²
    E ← sign(r) max(|r| - |r|^(p-1) / β, 0)  with r = W - Ŵ          (generalised soft threshold)
    z ← mean of q - (W - E) / s
    β ← κ β

Three departures. Errors are measured in steps of the scale: in the weights' own unit |r|^(p-1) / β
exceeds every |r| of ordinary weights, and E stays zero. The scale is fitted too, s ← Σ (W-E)(q-z) /
Σ (q-z)², because zero points that engines store are whole numbers and hardly move: they gain
nothing alone. Of all iterates, rounded as they will be stored, each block keeps the one with the
least ‖W - Ŵ‖_p^p, of which the parameters given are the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.quant.arithmetic import aligned_parameters, to_storage
from onnxq.quant.choose import SMALLEST_SCALE
from onnxq.quant.qparams import QParams
from onnxq.quant.scheme import Scheme

Float32 = NDArray[np.float32]

_NEAR_ZERO = np.float32(1e-6)


@dataclass(frozen=True)
class Splitting:
    """The constants of the iteration.

    Attributes:
        power: p of the norm, above 0 and up to 1.
        stiffness: β at the start.
        growth: κ, by which β grows.
        rounds: Iterations.
    """

    power: float = 0.7
    stiffness: float = 10.0
    growth: float = 1.01
    rounds: int = 20


def hqq_qparams(
    weight: NDArray[Any], parameters: QParams, splitting: Splitting | None = None
) -> QParams:
    """Parameters with an l_p error no larger than that of those given, block by block.

    Symmetric schemes keep their zero point, and schemes whose scales are rounded their parameters.

    Args:
        weight: Finite weights.
        parameters: Where to start.
        splitting: The constants.
    """
    scheme = parameters.scheme
    if not scheme.any_scale or weight.size == 0:
        return parameters
    splitting = splitting or Splitting()
    values = scheme.granularity.group(np.asarray(weight, np.float32))
    scale, zero_point = aligned_parameters(parameters, values.ndim)
    work = _Blocks(values, scheme, splitting.power)
    best, smallest = (scale, zero_point), work.error(scale, zero_point)
    stiffness = splitting.stiffness
    for _ in range(splitting.rounds):
        scale, zero_point = work.step(scale, zero_point, stiffness)
        stiffness *= splitting.growth
        whole = np.clip(np.rint(zero_point), scheme.minimum, scheme.maximum)
        error = work.error(scale, whole)
        better = error < smallest
        best = (np.where(better, scale, best[0]), np.where(better, whole, best[1]))
        smallest = np.minimum(error, smallest)
    shape = parameters.scale.shape
    return QParams(
        scheme,
        best[0].astype(np.float32).reshape(shape),
        to_storage(best[1].astype(np.float32), scheme).reshape(shape),
    )


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Weights over which the parameters broadcast."""

    values: Float32
    scheme: Scheme
    power: float

    @property
    def _axes(self) -> tuple[int, ...]:
        return self.scheme.granularity.shared_axes(self.values.ndim)

    def _steps(self, scale: Float32, zero_point: Float32) -> Float32:
        """Codes minus zero point, the codes as the engine will have them."""
        whole = np.rint(zero_point)
        codes = np.rint(self.values / scale) + whole
        np.clip(codes, self.scheme.minimum, self.scheme.maximum, out=codes)
        return np.asarray(codes - zero_point)

    def error(self, scale: Float32, zero_point: Float32) -> Float32:
        """Sum of |w - ŵ|^p of every block."""
        residual = np.abs(self.values - self._steps(scale, zero_point) * scale)
        return np.asarray(np.sum(residual**self.power, axis=self._axes, keepdims=True))

    def step(
        self, scale: Float32, zero_point: Float32, stiffness: float
    ) -> tuple[Float32, Float32]:
        """The next scale and zero point."""
        steps = self._steps(scale, zero_point)
        rest = self.values / scale - steps
        size = np.abs(rest)
        threshold = np.maximum(size, _NEAR_ZERO) ** (self.power - 1.0) / stiffness
        rest = np.sign(rest) * np.maximum(size - threshold, 0.0)
        target = self.values - rest * scale
        squares = np.sum(steps * steps, axis=self._axes, keepdims=True)
        fitted = np.sum(target * steps, axis=self._axes, keepdims=True)
        fitted = np.where(squares > 0, fitted / np.maximum(squares, _NEAR_ZERO), scale)
        scale = np.where(fitted > SMALLEST_SCALE, fitted, scale)
        if self.scheme.symmetric:
            return scale, zero_point
        offset = steps + zero_point - target / scale
        return scale, np.mean(offset, axis=self._axes, keepdims=True)
