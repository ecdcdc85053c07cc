"""Quantize and dequantize, bit for bit as ONNX does it.

QuantizeLinear: code = saturate(round_half_even(x / scale) + zero_point)
DequantizeLinear: real = float32(code - zero_point) * scale
(ONNX operator specification, opset 21; all arithmetic in float32.)

What the specification leaves open follows ONNX Runtime on x86: NaN becomes the lowest
code, infinities saturate, subnormal numbers count at full value. ONNX Runtime departs
from the specification in one place that is not followed here: 4-bit and blocked
QuantizeLinear go through int32, so that NaN and values beyond 2^31 steps can end at the
wrong end of the range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxq.errors import UsageError
from onnxq.quant.qparams import QParams
from onnxq.quant.scheme import Scheme

Float32 = NDArray[np.float32]


def quantize(array: ArrayLike, qparams: QParams) -> NDArray[Any]:
    """Codes of real values, equal to ONNX Runtime's QuantizeLinear.

    Codes saturate at the scheme's own range: for a narrow range or a width that ONNX stores
    in a wider type that is tighter than what the operator does, and it differs from the
    operator only for values outside the range of the parameters.

    Args:
        array: Real values, any shape that fits the parameters; computed in float32.
        qparams: Scale and zero point.

    Returns:
        Codes of the same shape, of the scheme's storage type. NaN gives the lowest code.

    Raises:
        UsageError: The parameters' shape does not fit the array.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(array, dtype=np.float32)
    scheme = qparams.scheme
    _require_fit(qparams, values.shape)
    grouped = scheme.granularity.group(values)
    scale, zero_point = aligned_parameters(qparams, grouped.ndim)
    codes = round_to_codes(grouped, scale, zero_point, scheme, np.empty_like(grouped))
    stored = to_storage(codes, scheme)
    return scheme.granularity.ungroup(stored, values.shape)


def dequantize(codes: ArrayLike, qparams: QParams) -> Float32:
    """Real values of codes, equal to ONNX Runtime's DequantizeLinear.

    Args:
        codes: Integers of the scheme's storage type (any integer type that holds them).
        qparams: Scale and zero point.

    Returns:
        float32 values of the same shape.

    Raises:
        UsageError: The parameters' shape does not fit the codes.
    """
    stored = np.asarray(codes)
    _require_fit(qparams, stored.shape)
    granularity = qparams.scheme.granularity
    grouped = granularity.group(_to_float(stored))
    scale, zero_point = aligned_parameters(qparams, grouped.ndim)
    np.subtract(grouped, zero_point, out=grouped)
    with np.errstate(over="ignore"):
        np.multiply(grouped, scale, out=grouped)
    return granularity.ungroup(grouped, stored.shape)


def aligned_parameters(qparams: QParams, rank: int) -> tuple[Float32, Float32]:
    """Scale and zero point as float32 views that broadcast over a grouped array of that rank."""
    align = qparams.scheme.granularity.align
    return align(qparams.scale, rank), align(_to_float(qparams.zero_point), rank)


def round_to_codes(
    values: Float32, scale: Float32, zero_point: Float32, scheme: Scheme, out: Float32
) -> Float32:
    """Codes as float32 numbers, written to ``out``; the arguments broadcast over values."""
    # A signalling NaN is an invalid operand, though its result is an ordinary NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(values, scale, out=out)
    np.rint(out, out=out)
    np.add(out, zero_point, out=out)
    # fmax drops NaN where maximum would keep it.
    np.fmax(out, scheme.minimum, out=out)
    return np.minimum(out, scheme.maximum, out=out)


def to_storage(codes: Float32, scheme: Scheme) -> NDArray[Any]:
    """Whole float32 numbers in the scheme's storage type."""
    storage = scheme.qtype.storage
    if scheme.qtype.stored_bits > 4:
        return codes.astype(storage)
    # The direct cast between float32 and 4-bit types takes four times as long.
    return codes.astype(np.int8).astype(storage)


def _to_float(codes: NDArray[Any]) -> Float32:
    """A float32 copy, exact for every code."""
    is_numpy_integer = np.issubdtype(codes.dtype, np.integer)
    return (codes if is_numpy_integer else codes.astype(np.int8)).astype(np.float32)


def _require_fit(qparams: QParams, shape: tuple[int, ...]) -> None:
    expected = qparams.scheme.granularity.parameter_shape(shape)
    if qparams.scale.shape != expected:
        raise UsageError(
            f"a scale of shape {qparams.scale.shape} does not fit an array of shape {shape}",
            why=f"{qparams.scheme.granularity} needs shape {expected}",
        )
