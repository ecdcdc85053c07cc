"""Weights that stay in their file: nobody can tell, but by the memory."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import (
    Model,
    Stored,
    constant,
    convert_opset,
    copy_model,
    infer_types,
    load,
    read,
    save,
    without_weights,
)
from onnxq.graph.mapped import LARGE_TENSOR, Mapped

_OPEN_FILES = Path("/proc/self/fd")
_COUNT = LARGE_TENSOR // 4 + 3


@pytest.fixture(autouse=True)
def _map_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxq.graph.reading._LARGE", 0)


def _weight(factor: int = 1, kind: Any = np.float32) -> np.ndarray:
    return (np.arange(_COUNT) % 7 * factor).astype(kind)


def _write(path: Path, *weights: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> Path:
    """A model that sums its input and all weights; names are of odd lengths, offsets too."""
    adds = list(nodes or [])
    current = "x"
    for index, weight in enumerate(weights):
        adds.append(helper.make_node("Add", [current, weight.name], [f"y{index}"]))
        current = f"y{index}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [_COUNT]) for n in ("x", current)]
    graph = helper.make_graph(adds, "g", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 21)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path


def _tensor(name: str = "weight", factor: int = 1) -> TensorProto:
    tensor = numpy_helper.from_array(_weight(factor), name)
    tensor.doc_string = "the weight"
    tensor.metadata_props.add(key="layer", value="1")
    return tensor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return _write(tmp_path / "m.onnx", _tensor("w", 1), _tensor("v2", 2))


def _mapped(model: Model) -> list[str]:
    return [c.name for c in model.constants if isinstance(c.stored, Mapped)]


def _run(path: Path) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.zeros(_COUNT, np.float32)})[0]


def test_values_are_those_of_the_file_and_read_only(path: Path) -> None:
    model = load(path)
    assert _mapped(model) == ["w", "v2"]
    for tensor, factor in zip(model.constants, (1, 2), strict=True):
        value = read(tensor)
        np.testing.assert_array_equal(value, _weight(factor))
        assert value.dtype == np.float32
        assert not value.flags.writeable
        into = np.empty_like(value)
        assert isinstance(tensor.stored, Stored)
        tensor.stored.copy_to(into)
        np.testing.assert_array_equal(into, value)


def test_a_model_is_not_changed_by_being_read_and_written(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    model = load(path)
    assert model.to_proto() == onnx.ModelProto.FromString(content)
    assert save(model, tmp_path / "again.onnx").read_bytes() == content
    assert save(copy_model(model), tmp_path / "copy.onnx").read_bytes() == content
    assert model.digest() == load(content).digest()
    assert model.stored_bytes() == 2 * 4 * _COUNT
    assert infer_types(model)["w"] == (np.float32, (_COUNT,))


def test_edited_and_kept_weights_are_saved_together(path: Path, tmp_path: Path) -> None:
    model = load(path)
    model.nodes[0].inputs[1] = constant("new", _weight(5))
    for external in (False, True):
        saved = save(model, tmp_path / "edited.onnx", external_data=external)
        np.testing.assert_array_equal(_run(saved), _weight(7))
        named = {t.name: t for t in onnx.load(saved).graph.initializer}
        assert named["v2"].doc_string == "the weight"
        assert named["v2"].metadata_props[0].value == "1"
    np.testing.assert_array_equal(_run(path), _weight(3))


@pytest.mark.parametrize("external", [False, True])
def test_a_model_saved_over_itself_can_still_be_read(path: Path, external: bool) -> None:
    model = load(path)
    model.nodes[0].inputs[1] = constant("longer name", _weight(5))
    for _ in range(2):
        save(model, path, external_data=external)
        np.testing.assert_array_equal(_run(path), _weight(7))
        assert {c.name: float(read(c)[1]) for c in model.constants} == {"longer name": 5, "v2": 2}


def test_a_file_that_is_gone_can_still_be_read(path: Path) -> None:
    model = load(path)
    path.unlink()
    np.testing.assert_array_equal(read(model.constants[0]), _weight())


@pytest.mark.parametrize("change", ["truncated", "rewritten"])
def test_a_file_that_others_change_is_an_error(path: Path, change: str) -> None:
    model = load(path)
    if change == "truncated":
        os.truncate(path, 1000)
    else:
        with path.open("r+b") as file:
            file.write(b"\0")
        os.utime(path, ns=(1, 1))
    (tensor, _) = model.constants
    assert isinstance(tensor.stored, Stored)
    with pytest.raises(ModelError, match="the file was changed while it was in use") as caught:
        read(tensor)
    assert caught.value.where == str(path)
    with pytest.raises(ModelError, match="changed"):
        tensor.stored.copy_to(np.empty(_COUNT, np.float32))


@pytest.mark.parametrize("kind", ["int8", "bfloat16", "int4", "float64", "bool", "float8_e4m3fn"])
def test_types_of_every_width(kind: str, tmp_path: Path) -> None:
    dtype = np.dtype(getattr(ml_dtypes, kind, None) or kind)
    weight = np.resize(np.arange(7), 8 * _COUNT).astype(dtype)
    path = tmp_path / "m.onnx"
    node = helper.make_node("Identity", ["w"], ["y"])
    tensor = numpy_helper.from_array(weight, "w")
    output = helper.make_tensor_value_info("y", tensor.data_type, weight.shape)
    graph = helper.make_graph([node], "g", [], [output], [tensor])
    onnx.save(helper.make_model(graph, ir_version=10), path)
    model = load(path)
    assert _mapped(model) == ["w"]
    (held,) = model.constants
    assert read(held).dtype == dtype
    np.testing.assert_array_equal(read(held), weight)
    assert isinstance(held.stored, Stored)
    into = np.empty_like(weight)
    held.stored.copy_to(into)
    np.testing.assert_array_equal(into, weight)
    assert save(model, tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    onnx.checker.check_model(str(save(model, tmp_path / "apart.onnx", external_data=True)))
    (apart,) = load(tmp_path / "apart.onnx").constants
    np.testing.assert_array_equal(read(apart), weight)


def test_weights_in_nodes_and_bodies_stay_in_the_file(tmp_path: Path) -> None:
    inner = helper.make_node("Constant", [], ["k"], value=_tensor("k", 3))
    body = helper.make_graph(
        [inner, helper.make_node("Add", ["k", "b"], ["s"])],
        "body",
        [],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, [_COUNT])],
        [_tensor("b", 4)],
    )
    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.True_))
    choice = helper.make_node("If", ["c"], ["chosen"], then_branch=body, else_branch=body)
    nodes = [condition, helper.make_node("Constant", [], ["w"], value=_tensor("w")), choice]
    path = _write(tmp_path / "m.onnx", nodes=nodes)
    proto = onnx.load(path)
    proto.graph.node.append(helper.make_node("Add", ["w", "chosen"], ["sum"]))
    proto.graph.node.append(helper.make_node("Add", ["x", "sum"], ["y"]))
    proto.graph.output[0].name = "y"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    model = load(path)
    held = [v for n in model.all_nodes for v in n.attrs.values() if hasattr(v, "stored")]
    assert sum(isinstance(v.stored, Mapped) for v in held) == 3
    assert _mapped(model) == ["b", "b"]
    assert copy_model(model).to_proto() == proto
    saved = save(model, tmp_path / "again.onnx")
    assert saved.read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(_run(saved), _weight(8))


def test_weights_in_nodes_are_not_shown_to_those_who_do_not_want_them(tmp_path: Path) -> None:
    node = helper.make_node("Constant", [], ["k"], value=_tensor("w", 5))
    path = _write(tmp_path / "m.onnx", _tensor("w", 2), nodes=[node])
    proto = onnx.load(path)
    proto.graph.node[-1].input[0] = "k"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    model = load(path)
    outline = model.to_proto(without_weights)
    assert outline.ByteSize() < 1000
    assert infer_types(model)["k"] == (np.float32, (_COUNT,))
    assert model.digest() == load(proto).digest()
    # The attribute's tensor is named like an initializer.
    convert_opset(model, 22)
    for external in (False, True):
        saved = save(model, tmp_path / "saved.onnx", external_data=external)
        np.testing.assert_array_equal(_run(saved), _weight(7))
        assert onnx.load(saved).graph.node[0].attribute[0].t.raw_data


def _documented_attribute(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["k"], value=_tensor("k"))
    node.attribute[0].doc_string = "would be lost"
    proto.graph.node.insert(0, node)


def _attribute_without_type(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.add(name="odd").t.CopyFrom(_tensor("k"))


def _list_of_tensors(proto: onnx.ModelProto) -> None:
    values = helper.make_attribute("list", [_tensor("k"), _tensor("l")])
    proto.graph.node[0].attribute.append(values)


def _function(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["k"], value=_tensor("k"))
    function = helper.make_function("my", "F", [], ["k"], [node], [helper.make_opsetid("", 21)])
    proto.functions.append(function)


def _sparse(proto: onnx.ModelProto) -> None:
    indices = numpy_helper.from_array(np.arange(_COUNT), "i")
    sparse = helper.make_sparse_tensor(_tensor("s"), indices, [2 * _COUNT])
    proto.graph.sparse_initializer.append(sparse)
    proto.graph.node.append(helper.make_node("Relu", ["s"], ["z"]))


def _not_raw(proto: onnx.ModelProto) -> None:
    floats = helper.make_tensor("w", TensorProto.FLOAT, [_COUNT], _weight())
    proto.graph.initializer[0].CopyFrom(floats)


def _external_too(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="nowhere.bin")


@pytest.mark.parametrize(
    "change",
    [
        _documented_attribute,
        _attribute_without_type,
        _list_of_tensors,
        _function,
        _sparse,
        _not_raw,
        _external_too,
    ],
)
def test_what_is_unusual_comes_back_as_it_was(change: Any, path: Path) -> None:
    proto = onnx.load(path)
    change(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    assert load(path).to_proto() == proto


def test_a_wrong_size_is_refused(path: Path) -> None:
    proto = onnx.load(path)
    proto.graph.initializer[0].raw_data += b"\0\0\0\0"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"tensor 'w': .* 131088 bytes .* needs 131084"):
        load(path)


def test_a_name_that_is_given_twice_is_read_as_before(path: Path) -> None:
    proto = onnx.load(path)
    proto.graph.initializer.append(_tensor("w", 9))
    path.write_bytes(proto.SerializeToString(deterministic=True))
    assert load(path).to_proto() == load(proto).to_proto()


def test_many_values_can_be_held_at_once(path: Path) -> None:
    """Each mapping takes a file descriptor."""
    resource = pytest.importorskip("resource")
    (tensor, _) = load(path).constants
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        values = [read(tensor) for _ in range(100)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(np.array_equal(value, _weight()) for value in values)


@pytest.mark.skipif(not _OPEN_FILES.exists(), reason="the system does not list open files")
def test_nothing_is_left_open(path: Path) -> None:
    gc.collect()
    before = len(list(_OPEN_FILES.iterdir()))
    model = load(path)
    value = read(model.constants[0])
    del model, value
    gc.collect()
    assert len(list(_OPEN_FILES.iterdir())) == before


def test_small_tensors_are_in_memory(tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"""
    (tmp_path / "m.onnx").write_bytes(parse_model(text).SerializeToString())
    model = load(tmp_path / "m.onnx")
    assert not _mapped(model)
    assert model.to_proto() == parse_model(text)
