"""Bit operations against counts by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.measure import count_bit_operations, count_macs

_QUANTIZED = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[2,8] x) => (float[2,6] y)
<float s = {0.1}, uint8 z = {128}, float t = {0.05}, int8 p = {0}>
{
    [q] a = QuantizeLinear (x, s, z)
    [dq] b = DequantizeLinear (a, s, z)
    [dw] w = DequantizeLinear (W, t, p)
    [product] y = MatMul (b, w)
}
"""


def bit_operations(proto: onnx.ModelProto) -> int:
    return count_bit_operations(proto, count_macs(proto))


def test_bit_operations_of_codes() -> None:
    proto = parse_model(_QUANTIZED)
    codes = np.zeros((8, 6), np.int8)
    proto.graph.initializer.append(numpy_helper.from_array(codes, "W"))
    assert bit_operations(proto) == 2 * 8 * 6 * 8 * 8


def test_bit_operations_of_four_bit_weights() -> None:
    proto = parse_model(_QUANTIZED)
    proto.graph.initializer.append(
        helper.make_tensor("W", TensorProto.INT4, (8, 6), np.zeros(48, np.int8))
    )
    proto.graph.initializer.remove(next(t for t in proto.graph.initializer if t.name == "p"))
    proto.graph.initializer.append(helper.make_tensor("p", TensorProto.INT4, (), [0]))
    assert bit_operations(proto) == 2 * 8 * 6 * 8 * 4


@pytest.mark.parametrize(("dtype", "bits"), [("float", 32), ("float16", 16)])
def test_bit_operations_of_floats(dtype: str, bits: int) -> None:
    proto = parse_model(
        f"""
        <ir_version: 10, opset_import: ["" : 21]>
        g ({dtype}[2,8] x, {dtype}[8,6] w) => ({dtype}[2,6] y) {{ [p] y = MatMul (x, w) }}
        """
    )
    assert bit_operations(proto) == 2 * 8 * 6 * bits * bits
