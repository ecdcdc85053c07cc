"""What nobody edited comes back as it was, byte for byte."""

from __future__ import annotations

import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.graph import constant, load, read, save


def _bytes(proto: onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


def _assert_lossless(proto: onnx.ModelProto) -> None:
    before = _bytes(proto)
    assert _bytes(load(proto).to_proto()) == before
    assert _bytes(proto) == before, "the source was changed"


def _identity(tensor: TensorProto | None = None, **attributes: object) -> onnx.ModelProto:
    """x → Identity → y, with an initializer and attributes besides."""
    node = helper.make_node("Identity", ["x"], ["y"], name="n")
    for name, value in attributes.items():
        node.attribute.add().CopyFrom(
            value if isinstance(value, AttributeProto) else helper.make_attribute(name, value)
        )
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:], [tensor] if tensor else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def test_every_node_test_case_of_onnx_is_lossless() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        models = {case.name: case.model for case in collect_testcases(None) if case.model}
    changed = [n for n, m in models.items() if _bytes(load(m).to_proto()) != _bytes(m)]
    assert not changed
    assert len(models) > 1800


def test_every_model_file_of_onnx_is_lossless() -> None:
    files = list((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))
    protos = ((f, onnx.load(f, load_external_data=False)) for f in files)
    changed = [f for f, proto in protos if _bytes(load(proto).to_proto()) != _bytes(proto)]
    assert not changed
    assert len(files) > 100


def test_documentation_and_metadata_stay() -> None:
    proto = _identity(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    proto.doc_string, proto.domain, proto.model_version = "model", "my.models", 7
    proto.producer_name, proto.producer_version = "me", "1.2"
    graph, node = proto.graph, proto.graph.node[0]
    graph.doc_string, node.doc_string, node.overload = "graph", "node", "fast"
    graph.initializer[0].doc_string = "unused weight"
    graph.input[0].doc_string = "input"
    graph.input[0].type.denotation = "TENSOR"
    graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    for holder in (proto, graph, node, graph.input[0], graph.initializer[0]):
        holder.metadata_props.add(key="key", value="värde")
    annotation = graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    proto.training_info.add().algorithm.name = "sgd"
    _assert_lossless(proto)


@pytest.mark.parametrize(
    "attribute",
    [
        helper.make_attribute("a", [], attr_type=AttributeProto.INTS),
        helper.make_attribute("a", [], attr_type=AttributeProto.FLOATS),
        helper.make_attribute("a", [], attr_type=AttributeProto.STRINGS),
        helper.make_attribute("a", b"\xff\xfe"),
        helper.make_attribute("a", [b"\xff", "text"]),
        helper.make_attribute("a", float("nan")),
        helper.make_attribute("a", 1.0, doc_string="documented"),
        helper.make_attribute("a", helper.make_tensor_type_proto(1, [2, "n"])),
        helper.make_attribute("a", [helper.make_tensor_type_proto(1, [2])]),
        helper.make_attribute("a", [numpy_helper.from_array(np.arange(3), "t")]),
        helper.make_attribute("a", numpy_helper.from_array(np.arange(3)), doc_string="documented"),
        helper.make_attribute("a", helper.make_graph([], "inner", [], [])),
        helper.make_attribute("a", [helper.make_graph([], "inner", [], [])]),
    ],
    ids=lambda a: f"{AttributeProto.AttributeType.Name(a.type)}",
)
def test_attributes_of_every_kind_stay(attribute: AttributeProto) -> None:
    _assert_lossless(_identity(a=attribute))


def _sparse() -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.float32([5, 6]), "w")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1, 4])), [2, 3])


def test_sparse_initializers_and_attributes_stay_and_can_be_read() -> None:
    proto = _identity(a=helper.make_attribute("a", _sparse()))
    proto.graph.sparse_initializer.append(_sparse())
    _assert_lossless(proto)
    np.testing.assert_array_equal(read(load(proto).constants[0]), [[0, 5, 0], [0, 6, 0]])


_SPECIAL = {
    "int4": np.array([-8, 7, 3], ml_dtypes.int4),
    "uint4": np.array([0, 15, 3], ml_dtypes.uint4),
    "e4m3fn": np.array([0.5, -2], ml_dtypes.float8_e4m3fn),
    "e4m3fnuz": np.array([0.5, -2], ml_dtypes.float8_e4m3fnuz),
    "e5m2": np.array([0.5, -2], ml_dtypes.float8_e5m2),
    "bfloat16": np.array([0.5, -2], ml_dtypes.bfloat16),
    "float16": np.array([0.5, -2], np.float16),
    "string": np.array(["a", "ü"], object),
    "bool": np.array([True, False]),
    "complex64": np.array([1 + 2j], np.complex64),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(3, np.int64),
}


@pytest.mark.parametrize("kind", _SPECIAL)
def test_special_types_stay_and_can_be_read(kind: str) -> None:
    value = _SPECIAL[kind]
    proto = _identity(numpy_helper.from_array(value, "w"))
    _assert_lossless(proto)
    (held,) = load(proto).constants
    assert held.dtype == value.dtype
    assert read(held).astype(value.dtype).tolist() == value.tolist()


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("kind", _SPECIAL)
def test_new_constants_of_special_types_can_be_written(
    kind: str, external: bool, tmp_path: Path
) -> None:
    value = _SPECIAL[kind]
    # Large enough to be kept apart, and of odd length for the packed types.
    value = np.resize(value, 4099) if value.size > 1 else value
    model = load(_identity())
    model.nodes[0].inputs = [constant("w", value)]
    (again,) = load(save(model, tmp_path / "m.onnx", external_data=external)).constants
    assert again.dtype == value.dtype
    assert again.shape == value.shape
    assert read(again).astype(value.dtype).tolist() == value.tolist()


_TEXTS = {
    "overridable": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }""",
    "listed": """<ir_version: 3, opset_import: ["": 8]>
        g (float[2] w, float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }""",
    "unlisted before IR 4": """<ir_version: 3, opset_import: ["": 8]>
        g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }""",
    "unused": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Relu(x) }""",
    "unordered": """<ir_version: 9, opset_import: ["": 18, "my.ops": 3]>
        g (float[N, 3] x) => (y) { [own] y = my.ops.Special <k = 3> (x, , x) }""",
    "returned constant": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x) => (float[K] w, float[2] x) <float[2] w = {1, 2}> { y = Relu(x) }""",
    "same node name twice": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x) => (float[2] z) { [n] y = Relu(x) [n] z = Relu(y) }""",
    "functions": """<ir_version: 9, opset_import: ["": 18, "my": 1]>
        g (float[2] x) => (float[2] y) { y = my.twice(x) }
        <domain: "my", opset_import: ["": 18]> twice (a) => (b) { b = Add(a, a) }""",
    "if": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x, bool c) => (float[2] y) <float[2] outer = {1, 2}> {
          t = Relu(x)
          y = If(c) <
            then_branch = yes () => (float[2] a) <float[2] w = {1, 2}>
              { s = Add(t, w) a = Add(s, outer) },
            else_branch = no () => (float[2] a) <float[2] w = {3, 4}> { a = Sub(t, w) }> }""",
    "loop": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] x, int64 n, bool c) => (float[2] y, all) {
          y, all = Loop(n, c, x) <body = b (int64 i, bool k, float[2] v)
            => (bool more, float[2] next, float[2] next_too)
            { more = Identity(k) next = Add(v, x) next_too = Identity(next) }> }""",
    "scan": """<ir_version: 9, opset_import: ["": 18]>
        g (float[2] s, float[3, 2] x) => (float[2] last, float[3, 2] sums) {
          last, sums = Scan <num_scan_inputs = 1, body = b (float[2] state, float[2] item)
            => (float[2] new, float[2] out) { new = Add(state, item) out = Identity(new) }>
            (s, x) }""",
}


@pytest.mark.parametrize("name", _TEXTS)
def test_structures_stay(name: str) -> None:
    _assert_lossless(parse_model(_TEXTS[name]))


def test_a_body_may_capture_what_stands_further_down() -> None:
    proto = parse_model(_TEXTS["if"])
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[::-1])
    assert [node.op for node in load(proto).nodes] == ["Relu", "If"]


def test_a_body_may_declare_what_it_captures() -> None:
    proto = parse_model(_TEXTS["if"])
    body = proto.graph.node[1].attribute[0].g
    body.value_info.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, [2]))
    model = load(proto)
    assert {r.op for r in model.variables["t"].outputs} == {"Add", "Sub"}


def test_unnamed_nodes_are_named_in_memory_only_unless_asked() -> None:
    model = load(parse_model(_TEXTS["if"]))
    assert [n.name for n in model.all_nodes] == ["Relu_0", "If_0", "Add_0", "Add_1", "Sub_0"]
    assert not any(node.name for node in model.to_proto().graph.node)
    model.keep_node_names()
    assert [node.name for node in model.to_proto().graph.node] == ["Relu_0", "If_0"]


def test_a_declaration_without_new_facts_stays_and_an_edited_one_follows() -> None:
    model = load(_identity())
    model.inputs[0].shape = (4, 2)
    shape = model.to_proto().graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [4, 2]
    assert model.to_proto().graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_legacy_models_with_new_constants_get_a_later_ir() -> None:
    model = load(parse_model(_TEXTS["listed"]))
    model.nodes[0].inputs[0] = constant("v", np.ones(2, np.float32))
    proto = model.to_proto()
    assert proto.ir_version >= 4
    assert [value.name for value in proto.graph.input] == ["x"]
    onnx.checker.check_model(proto)
