from __future__ import annotations

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import copy_model, load, promise_sparsity, save, sparse_layers
from onnxq.quant import Pattern

_TEXT = """<ir_version: 8, opset_import: ["": 17]>
  g (float[4] x) => (float[4] y) { [a] y = Abs(x) }"""


def test_promises_go_with_the_file(tmp_path):
    proto = parse_model(_TEXT)
    proto.metadata_props.add(key="author", value="somebody")
    model = load(proto)
    assert sparse_layers(model) == {}
    promises = {"a": Pattern(2, 4), "b": Pattern(4, 8)}
    promise_sparsity(model, promises)
    path = save(model, tmp_path / "m.onnx")
    assert sparse_layers(load(path)) == promises
    assert sparse_layers(copy_model(model)) == promises
    assert {p.key for p in onnx.load(path).metadata_props} == {"author", "onnxq.sparsity"}


def test_new_promises_replace_old_ones():
    model = load(parse_model(_TEXT))
    promise_sparsity(model, {"a": Pattern(2, 4)})
    promise_sparsity(model, {"b": Pattern(1, 2)})
    assert sparse_layers(model) == {"b": Pattern(1, 2)}
    promise_sparsity(model, {})
    assert not model.header.metadata_props


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": "4:2"}', '{"a": "x"}'])
def test_metadata_that_is_no_promise(text):
    proto = parse_model(_TEXT)
    proto.metadata_props.add(key="onnxq.sparsity", value=text)
    with pytest.raises(ModelError, match=r"'onnxq\.sparsity' cannot be read"):
        sparse_layers(load(proto))
