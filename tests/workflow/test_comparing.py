from __future__ import annotations

from onnx.parser import parse_model

from onnxq.graph import Model
from onnxq.workflow import matching_tensors

_FIRST = """
<ir_version: 8, opset_import: ["" : 17]>
first (float[4] x) => (float[4] y) {
    a = Relu (x)
    b = Neg (a)
    c = Abs (b)
    y = Sqrt (c)
}
"""
_SECOND = """
<ir_version: 8, opset_import: ["" : 17]>
second (float[4] x) => (float[4] y) <float s = {0.1}, uint8 z = {0}> {
    a = Relu (x)
    q = QuantizeLinear (a, s, z)
    a_dequantized = DequantizeLinear (q, s, z)
    c = Abs (a_dequantized)
    y = Sqrt (c)
}
"""


def test_dequantized_form_comes_first_and_outputs_are_left_out():
    first, second = (Model(parse_model(text)) for text in (_FIRST, _SECOND))
    pairs = matching_tensors(first, second)
    assert pairs == {("a", "a_dequantized"): "Relu", ("c", "c"): "Abs"}
    assert list(pairs) == [("a", "a_dequantized"), ("c", "c")]
