"""The ranges of the integer types, and how their codes are stored in an ONNX file."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from onnxq.errors import UsageError
from onnxq.quant import QType


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("signed", [True, False])
def test_range_has_every_code_and_fits_its_storage(bits: int, signed: bool) -> None:
    qtype = QType(bits, signed)
    width = next(width for width in (4, 8, 16) if bits <= width)
    lowest, highest = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
    assert qtype.maximum - qtype.minimum == 2**bits - 1
    assert lowest <= qtype.minimum < qtype.maximum <= highest
    for code in (qtype.minimum, qtype.maximum):
        assert int(np.array(code, np.int32).astype(qtype.storage)) == code
    assert qtype.minimum <= qtype.midpoint <= qtype.maximum


@pytest.mark.parametrize(
    ("bits", "signed", "storage", "onnx_type"),
    [
        (2, True, ml_dtypes.int4, TensorProto.INT4),
        (3, False, ml_dtypes.uint4, TensorProto.UINT4),
        (4, True, ml_dtypes.int4, TensorProto.INT4),
        (5, True, np.int8, TensorProto.INT8),
        (8, False, np.uint8, TensorProto.UINT8),
        (9, True, np.int16, TensorProto.INT16),
        (16, False, np.uint16, TensorProto.UINT16),
    ],
)
def test_storage_is_the_next_wider_type(
    bits: int, signed: bool, storage: type, onnx_type: int
) -> None:
    qtype = QType(bits, signed)
    assert qtype.storage == np.dtype(storage)
    assert qtype.onnx_type == onnx_type
    assert onnx.helper.np_dtype_to_tensor_dtype(qtype.storage) == onnx_type


def test_midpoint_of_unsigned_types_is_half_the_codes() -> None:
    assert [QType(bits, False).midpoint for bits in (2, 4, 8, 16)] == [2, 8, 128, 32768]


@pytest.mark.parametrize("bits", [1, 0, -8, 17, 32, True, 8.0])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match="choose an integer from 2 to 16"):
        QType(bits, signed=True)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (3, 5), (0,)])
def test_four_bit_codes_are_packed_two_to_a_byte(signed: bool, shape: tuple[int, ...]) -> None:
    qtype = QType(4, signed)
    count = int(np.prod(shape))
    codes = np.resize(np.arange(qtype.minimum, qtype.maximum + 1), shape).astype(np.int8)
    proto = numpy_helper.from_array(codes.astype(qtype.storage), "codes")
    assert proto.data_type == qtype.onnx_type
    assert len(proto.raw_data) == -(-count // 2)
    np.testing.assert_array_equal(numpy_helper.to_array(proto).astype(np.int8), codes)


def test_narrow_codes_can_be_kept_in_bytes() -> None:
    qtype = QType(3, signed=True, narrowest=8)
    assert (qtype.minimum, qtype.maximum, qtype.storage) == (-4, 3, np.dtype(np.int8))
    assert (qtype.stored.minimum, qtype.stored.maximum) == (-128, 127)
    assert QType(16, signed=False, narrowest=8).storage == np.dtype(np.uint16)
    with pytest.raises(UsageError, match="use 4 or 8"):
        QType(3, signed=True, narrowest=2)
