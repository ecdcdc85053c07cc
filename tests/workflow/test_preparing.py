"""A conversion of the operator set that changes what a model computes is refused."""

from __future__ import annotations

import pytest
from onnx.parser import parse_model

from onnxq.errors import PreconditionError
from onnxq.graph import load
from onnxq.workflow.preparing import upgrade

# Scan 8 has a batch axis and an input that Scan 9 lacks; onnx leaves the node as it is.
_SCAN = """<ir_version: 7, opset_import: ["": 8]>
  g (float[1, 2] start, float[1, 3, 2] x) => (float[1, 2] sum, float[1, 3, 2] y) {
    sum, y = Scan <num_scan_inputs = 1, body = b (float[2] before, float[2] next)
      => (float[2] after, float[2] copy) {
        after = Add(before, next)
        copy = Identity(after) }> ("", start, x)
  }"""


def test_withdrawn_conversion_is_a_refusal():
    model = load(parse_model(_SCAN))
    with pytest.raises(PreconditionError, match="operator set 8 to 13; the conversion was withdr"):
        upgrade(model, 13, None)
    assert model.opset == 8
