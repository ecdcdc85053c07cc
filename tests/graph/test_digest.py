"""The digest says whether two models compute the same from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.graph import copy_model, load, save


def _proto() -> onnx.ModelProto:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18, "my": 1]>
      g (float[1024] x) => (float[1024] y) { t = Add(x, w) y = my.same(t) }
      <domain: "my", opset_import: ["": 18]> same (a) => (b) { b = Identity(a) }""")
    weight = numpy_helper.from_array(np.zeros(1024, np.float32), "w")
    proto.graph.initializer.append(weight)
    return proto


def test_equal_models_in_different_places_have_one_digest(tmp_path: Path) -> None:
    model = load(_proto())
    (tmp_path / "a").mkdir()
    apart = save(model, tmp_path / "a/one.onnx", external_data=True)
    inside = save(model, tmp_path / "two.onnx", external_data=False)
    typed = _proto()
    typed.graph.initializer[0].ClearField("raw_data")
    typed.graph.initializer[0].float_data.extend([0.0] * 1024)
    digests = [m.digest() for m in (model, load(apart), load(inside), load(typed))]
    assert set(digests) == {copy_model(model).digest()}


def _edit_weight(proto: onnx.ModelProto) -> None:
    value = np.zeros(1024, np.float32)
    value[5] = 1e-30
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(value, "w"))


def _edit_type(proto: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.zeros(1024, np.int32), "w")
    proto.graph.initializer[0].CopyFrom(value)


def _edit_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 17


def _edit_function(proto: onnx.ModelProto) -> None:
    proto.functions[0].node[0].op_type = "Relu"


def _edit_node(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "Sub"


@pytest.mark.parametrize(
    "edit", [_edit_weight, _edit_type, _edit_opset, _edit_function, _edit_node]
)
def test_an_edit_changes_the_digest(edit: Callable[[onnx.ModelProto], None]) -> None:
    proto = _proto()
    edit(proto)
    assert load(proto).digest() != load(_proto()).digest()
