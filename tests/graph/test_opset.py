"""Conversion of the operator set keeps what onnx's converter drops, and refuses what it breaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, version_converter
from onnx.parser import parse_model
from onnx.version_converter import ConvertError

from onnxq.errors import PreconditionError
from onnxq.graph import constant, convert_opset, infer_types, load, read

AssertSame = Callable[..., None]

_PLAIN = """<ir_version: 7, opset_import: ["": 11]>
  g (float[1, 2] x) => (float[2] y) <float[1, 2] w = {1, 2}> {
    [add] t = Add(x, w)
    y = Squeeze <axes = [0]> (t)
  }"""

_IF = """<ir_version: 7, opset_import: ["": 11]>
  g (float[1, 2] x, bool c) => (float[2] y) {
    y = If(c) <
      then_branch = p () => (float[2] a) <float[1, 2] w = {1, 2}> {
        t = Add(x, w) a = Squeeze <axes = [0]> (t) },
      else_branch = q () => (float[2] b) <float[1, 2] w = {5, 6}> {
        t = Sub(x, w) b = Squeeze <axes = [0]> (t) }>
  }"""


def test_outputs_stay(assert_same: AssertSame) -> None:
    model = load(parse_model(_PLAIN))
    convert_opset(model, 21)
    assert model.opset == 21
    assert_same(parse_model(_PLAIN), model.to_proto())


def test_metadata_and_names_stay() -> None:
    proto = parse_model(_PLAIN)
    proto.doc_string, proto.producer_name, proto.domain = "model", "me", "my.models"
    proto.graph.doc_string = "graph"
    proto.graph.node[0].doc_string = "node"
    for holder in (proto, proto.graph, proto.graph.node[0]):
        holder.metadata_props.add(key="key", value="value")
    model = load(proto)
    names = [n.name for n in model.nodes]
    convert_opset(model, 13)
    assert [n.name for n in model.nodes if n.op != "Constant"] == names == ["add", "Squeeze_0"]
    after = model.to_proto()
    assert (after.doc_string, after.producer_name, after.domain) == ("model", "me", "my.models")
    assert after.graph.doc_string == "graph"
    node = next(n for n in after.graph.node if n.op_type == "Add")
    assert (node.name, node.doc_string) == ("add", "node")
    for holder in (after, after.graph, node):
        assert [(p.key, p.value) for p in holder.metadata_props] == [("key", "value")]
    assert not next(n for n in after.graph.node if n.op_type == "Squeeze").name


@pytest.mark.parametrize("condition", [True, False])
def test_bodies_keep_weights_of_their_own(condition: bool, assert_same: AssertSame) -> None:
    """Both branches call their weight w."""
    model = load(parse_model(_IF))
    convert_opset(model, 21)
    feed = {"x": np.float32([[3, 4]]), "c": np.array(condition)}
    assert_same(parse_model(_IF), model.to_proto(), feed)


def test_large_weights_are_not_shown_to_the_converter_and_stay_the_same_object() -> None:
    proto = parse_model(_PLAIN.replace("<float[1, 2] w = {1, 2}>", "").replace("2]", "4096]"))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((1, 4096), "f"), "w"))
    model = load(proto)
    (before,) = (c.stored for c in model.constants if c.name == "w")
    convert_opset(model, 21)
    (after,) = (c for c in model.constants if c.name == "w")
    assert after.stored is before
    np.testing.assert_array_equal(read(after), np.ones((1, 4096)))


def test_legacy_weights_do_not_become_overridable(assert_same: AssertSame) -> None:
    text = """<ir_version: 3, opset_import: ["": 8]>
      g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"""
    model = load(parse_model(text))
    convert_opset(model, 21)
    proto = model.to_proto()
    assert [value.name for value in proto.graph.input] == ["x"]
    assert_same(parse_model(text), proto, {"x": np.float32([3, 4])})


def test_defaults_stay_overridable() -> None:
    text = """<ir_version: 7, opset_import: ["": 12]>
      g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"""
    model = load(parse_model(text))
    convert_opset(model, 21)
    assert model.constants[0].overridable
    assert [value.name for value in model.to_proto().graph.input] == ["x", "w"]


def test_sparse_weights_survive() -> None:
    proto = parse_model(_PLAIN)
    values = numpy_helper.from_array(np.float32([5]), "w")
    sparse = onnx.helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1])), [1, 2])
    del proto.graph.initializer[:]
    proto.graph.sparse_initializer.append(sparse)
    model = load(proto)
    convert_opset(model, 21)
    assert model.to_proto().graph.sparse_initializer[0] == sparse


def test_functions_are_refused() -> None:
    text = """<ir_version: 9, opset_import: ["": 18, "my": 1]>
      g (float[2] x) => (float[2] y) { y = my.twice(x) }
      <domain: "my", opset_import: ["": 18]> twice (a) => (b) { b = Add(a, a) }"""
    model = load(parse_model(text))
    with pytest.raises(PreconditionError, match="twice: local functions would be lost"):
        convert_opset(model, 21)
    assert model.opset == 18


def test_group_normalization_is_refused_over_21() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[1, 4, 2] x) => (float[1, 4, 2] y) <float[2] s = {1, 2}, float[2] b = {0, 0}> {
        [norm] y = GroupNormalization <num_groups = 2> (x, s, b) }"""
    model = load(parse_model(text))
    with pytest.raises(PreconditionError, match="node 'norm': onnx converts GroupNormalization"):
        convert_opset(model, 21)
    convert_opset(model, 20)
    assert model.opset == 20


def test_lowering_is_refused() -> None:
    model = load(parse_model(_PLAIN))
    with pytest.raises(PreconditionError, match="operator set 11 cannot be lowered to 10"):
        convert_opset(model, 10)


@pytest.mark.parametrize("error", [ConvertError, RuntimeError])
def test_what_the_converter_cannot_do_leaves_the_model_as_it_was(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("No Adapter From Version 11 for Add")

    model = load(parse_model(_PLAIN))
    monkeypatch.setattr(version_converter, "convert_version", fail)
    with pytest.raises(PreconditionError, match="from operator set 11 to 21; No Adapter From"):
        convert_opset(model, 21)
    assert model.opset == 11
    assert model.to_proto() == parse_model(_PLAIN)
    assert [n.name for n in model.nodes] == ["add", "Squeeze_0"]


def test_new_constants_survive() -> None:
    model = load(parse_model(_PLAIN))
    model.nodes[0].inputs[1] = constant("v", np.full((1, 4096), 7, np.float32))
    convert_opset(model, 21)
    (held,) = (c for c in model.constants if c.name == "v")
    assert float(read(held).max()) == 7


def test_types_are_inferred_without_reading_weights() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[N, 3, 1000] x) => (y) { t = Conv(x, w) y = Relu(t) }"""
    proto = parse_model(text)
    missing = onnx.TensorProto(name="w", data_type=1, dims=[4, 3, 999], data_location=1)
    missing.external_data.add(key="location", value="nowhere")
    proto.graph.initializer.append(missing)
    types = infer_types(load(proto))
    assert types["t"] == (np.float32, ("N", 4, 2))
    assert types["w"] == (np.float32, (4, 3, 999))


def test_outputs_stay_declared_as_they_were() -> None:
    proto = parse_model(_PLAIN.replace("float[2] y", "float[n] y"))
    model = load(proto)
    convert_opset(model, 21)
    assert model.to_proto().graph.output[0] == proto.graph.output[0]
