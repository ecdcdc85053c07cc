"""Sessions, runs and what their errors say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.engine import (
    InputSpec,
    Optimization,
    engine_reason,
    input_specs,
    open_session,
    output_specs,
    runner,
)
from onnxq.errors import ModelError
from onnxq.graph import load, save

_PROTO = parse_model("""<ir_version: 9, opset_import: ["": 18]>
  g (float[N, 2] x) => (float[N, 2] y, float[N, 2] z) <float[2] w = {1, 2}> {
    y = Add(x, w) z = Neg(y) }""")


def test_every_form_of_a_model_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_PROTO.SerializeToString())
    for source in (path, str(path), _PROTO, load(_PROTO), load(path)):
        run = runner(open_session(source, threads=1))
        outputs = run({"x": np.float32([[3, 4]])})
        np.testing.assert_array_equal(outputs["y"], [[4, 6]])
        np.testing.assert_array_equal(outputs["z"], [[-4, -6]])


def test_external_data_is_found(tmp_path: Path) -> None:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18]>
      g (float[1024] x) => (float[1024] y) { y = Add(x, w) }""")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1024, np.float32), "w"))
    model = load(save(load(proto), tmp_path / "m.onnx", external_data=True))
    outputs = runner(open_session(model))({"x": np.zeros(1024, np.float32)})
    np.testing.assert_array_equal(outputs["y"], np.ones(1024))


def test_outputs_can_be_chosen_and_other_inputs_are_ignored() -> None:
    run = runner(open_session(_PROTO), ["z"])
    assert list(run({"x": np.ones((1, 2), np.float32), "label": np.ones(1)})) == ["z"]


def test_defaults_can_be_overridden() -> None:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18]>
      g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }""")
    run, x = runner(open_session(proto)), np.zeros(2, np.float32)
    np.testing.assert_array_equal(run({"x": x})["y"], [1, 2])
    np.testing.assert_array_equal(run({"x": x, "w": x})["y"], [0, 0])
    assert [spec.name for spec in input_specs(open_session(proto))] == ["x"]


def test_the_optimized_graph_is_written_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "optimized.onnx"
    open_session(_PROTO, optimized_path=path, optimization=Optimization.NONE)
    assert [n.op_type for n in onnx.load(path).graph.node] == ["Add", "Neg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: setattr(p.graph.node[0], "op_type", "Nonsense"), "Nonsense"),
        (lambda p: setattr(p.graph.node[0], "domain", "my.ops"), "my.ops"),
        (lambda p: p.graph.node[1].input.__setitem__(0, "missing"), "missing"),
        (lambda p: setattr(p.opset_import[0], "version", 9999), "9999"),
    ],
)
def test_a_model_that_does_not_load_says_why(change: object, message: str, tmp_path: Path) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(_PROTO)
    change(proto)
    with pytest.raises(ModelError, match="ONNX Runtime does not load the model") as caught:
        open_session(proto)
    assert message in caught.value.why
    assert "ONNXRuntimeError" not in caught.value.why
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError) as caught:
        open_session(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_file_that_does_not_load_is_a_model_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="does not load"):
        open_session(path)


@pytest.mark.parametrize(
    "feed",
    [
        {},
        {"x": np.ones((1, 3), np.float32)},
        {"x": np.ones(2, np.float32)},
        {"x": np.ones((1, 2), np.float64)},
    ],
)
def test_a_run_that_fails_names_the_shapes(feed: dict[str, np.ndarray]) -> None:
    with pytest.raises(ModelError, match="does not run on these inputs") as caught:
        runner(open_session(_PROTO))(feed)
    if feed:
        assert caught.value.where == f"x {list(feed['x'].shape)}"
    assert caught.value.why


def test_an_unknown_output_is_an_error() -> None:
    with pytest.raises(ModelError, match="does not run"):
        runner(open_session(_PROTO), ["nowhere"])({"x": np.ones((1, 2), np.float32)})


def test_input_and_output_specs() -> None:
    session = open_session(_PROTO)
    assert input_specs(session) == [InputSpec("x", np.dtype(np.float32), ("N", 2))]
    assert [s.name for s in output_specs(session)] == ["y", "z"]


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "UINT16", "BOOL", "STRING"])
def test_input_types(kind: str) -> None:
    number = TensorProto.DataType.Value(kind)
    value = [helper.make_tensor_value_info(n, number, [2]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    proto = helper.make_model(
        helper.make_graph([node], "g", value[:1], value[1:]),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    (spec,) = input_specs(open_session(proto))
    assert spec.dtype == helper.tensor_dtype_to_np_dtype(number)


def test_an_input_that_is_no_tensor_is_refused() -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    node = helper.make_node("SequenceLength", ["s"], ["n"])
    output = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    graph = helper.make_graph([node], "g", [helper.make_value_info("s", kind)], [output])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(ModelError, match=r"input 's': an input of type seq\(tensor\(float\)\)"):
        input_specs(open_session(proto))


def test_the_reason_is_the_sentence_of_the_engine() -> None:
    with pytest.raises(Exception, match="ONNXRuntimeError") as caught:
        ort.InferenceSession(b"nonsense", providers=["CPUExecutionProvider"])
    reason = engine_reason(caught.value)
    assert reason
    assert not reason.startswith("[ONNXRuntimeError]")
    assert len(engine_reason(ValueError("word " * 1000))) <= 400
