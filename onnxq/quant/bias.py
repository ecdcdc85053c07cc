"""Bias as int32 codes with scale s_x * s_w and no zero point, and room for the accumulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxq.errors import DataError, UsageError
from onnxq.quant.choose import SMALLEST_SCALE

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Integer kernels add the bias to the int32 sum of products: half of the range is left to the sum.
LARGEST_BIAS_CODE = 2**30


@dataclass(frozen=True, eq=False)
class BiasQParams:
    """Parameters of a bias: real = scale * code, code int32.

    There is no zero point: ONNX does not allow one for int32 DequantizeLinear.

    Attributes:
        scale: float32, the shape of the weight scale (0-d or 1-D).
    """

    scale: Float32


def bias_qparams(input_scale: ArrayLike, weight_scale: ArrayLike) -> BiasQParams:
    """The bias scale that belongs to an input and a weight: s_x * s_w in float32.

    Args:
        input_scale: 0-d, the scale of the layer's input.
        weight_scale: 0-d, or 1-D with one scale per output channel.

    Raises:
        UsageError: A shape is not one of the above.
        DataError: A product is not a normal float32; `quantize_bias` raises the weight scale
            where the product is too small.
    """
    input_scales, weight_scales = _scales(input_scale, weight_scale)
    with np.errstate(over="ignore", under="ignore"):
        product = np.asarray(input_scales * weight_scales)
    if np.all((product >= np.finfo(np.float32).tiny) & (product < np.inf)):
        return BiasQParams(product)
    raise DataError(
        "a bias scale, input scale times weight scale, is not a normal float32 number",
        why="one of the two is extremely small or large",
        remedy="take the weight scale that quantize_bias returns, or keep the layer in float",
    )


def quantize_bias(
    bias: ArrayLike, input_scale: ArrayLike, weight_scale: ArrayLike
) -> tuple[NDArray[np.int32], Float32]:
    """Codes of a bias, and the weight scale that makes them fit.

    code = round_half_even(b / (s_x * s_w)). Where that would leave -2^30..2^30, or s_x * s_w
    would be too small a float32, s_w is doubled until it does not; doubling keeps powers of
    two, and the weights of such a channel are too small beside its bias for the lost bits to
    matter. The codes belong to the weight scale that is returned: quantize the weight with it.

    Args:
        bias: 1-D, one value per output channel, or 0-d.
        input_scale: 0-d, the scale of the layer's input.
        weight_scale: 0-d, or 1-D with one scale per output channel.

    Returns:
        The int32 codes in the shape of the bias, and the float32 weight scale needed in the
        shape of the weight scale, bit-equal to it where nothing had to be raised.

    Raises:
        UsageError: The shapes do not go together.
        DataError: The bias holds NaN or infinity, or no float32 scale can hold it.
    """
    values = np.asarray(bias, np.float64)
    _require_finite(values)
    input_scales, weight_scales = _scales(input_scale, weight_scale)
    if weight_scales.shape not in ((), values.shape):
        raise UsageError(
            f"a weight scale of shape {weight_scales.shape} does not fit a bias of shape"
            f" {values.shape}",
            remedy="give one scale, or one per bias value",
        )
    needed = _raised(values, input_scales, weight_scales)
    scale = bias_qparams(input_scales, needed).scale
    codes = np.rint(values / scale.astype(np.float64))
    return np.asarray(codes).astype(np.int32), needed


def _raised(bias: Float64, input_scale: Float32, weight_scale: Float32) -> Float32:
    magnitude = np.abs(bias)
    if weight_scale.ndim == 0:
        magnitude = np.max(magnitude, initial=0.0)
    smallest = np.maximum(magnitude / LARGEST_BIAS_CODE, SMALLEST_SCALE)
    product = input_scale.astype(np.float64) * weight_scale.astype(np.float64)
    _, doublings = np.frexp(smallest / product)
    exact = smallest / product == np.ldexp(0.5, doublings)
    doublings = np.maximum(doublings - exact, 0)
    with np.errstate(over="ignore"):
        return np.asarray(np.ldexp(weight_scale, doublings))


def _scales(input_scale: ArrayLike, weight_scale: ArrayLike) -> tuple[Float32, Float32]:
    input_scales = np.asarray(input_scale, np.float32)
    weight_scales = np.asarray(weight_scale, np.float32)
    if input_scales.ndim > 0 or weight_scales.ndim > 1:
        raise UsageError(
            f"scales of shapes {input_scales.shape} and {weight_scales.shape} give no bias scale",
            why="a bias needs one input scale, and one weight scale or one per output channel",
            remedy="quantize the input per tensor, or keep the bias in float",
        )
    for scales in (input_scales, weight_scales):
        if not np.all((scales > 0) & (scales < np.inf)):
            raise UsageError("a scale is not positive and finite", where="bias")
    return input_scales, weight_scales


def _require_finite(values: NDArray[Any]) -> None:
    if not np.all(np.isfinite(values)):
        raise DataError("a bias holds NaN or infinity", remedy="keep the layer in float")
