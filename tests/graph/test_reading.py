"""What cannot be opened says so in one sentence."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import load

_PROTO = parse_model("""<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { [n] y = Add(x, w) }""")


def _changed(change: str) -> bytes:
    proto = onnx.ModelProto()
    proto.CopyFrom(_PROTO)
    if change == "graph":
        proto.ClearField("graph")
    elif change == "outputs":
        del proto.graph.output[:]
    elif change == "version":
        proto.ClearField("ir_version")
    elif change == "opset":
        del proto.opset_import[:]
    elif change == "dangling":
        proto.graph.node[0].input[1] = "missing"
    elif change == "twice":
        proto.graph.node.append(proto.graph.node[0])
    elif change == "unwritten":
        proto.graph.output[0].name = "z"
    elif change == "type":
        proto.graph.initializer[0].data_type = 99
    elif change == "text":
        proto.graph.doc_string = "a_text_of_it"
        return proto.SerializeToString().replace(b"a_text_of_it", b"a_text\xf2of_it")
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"this is no model at all", "is not an ONNX model"),
        (_PROTO.SerializeToString()[:-5], "is truncated"),
        (_PROTO.graph.initializer[0].SerializeToString(), "is not an ONNX model"),
        (_changed("graph"), "is not an ONNX model; it holds no graph"),
        (_changed("version"), "is not an ONNX model; it holds no graph or no IR version"),
        (_changed("outputs"), "the graph has no outputs"),
        (_changed("opset"), "no operator set is declared; opset_import is empty"),
        (_changed("dangling"), r"'missing', read by 'n' \(Add\), is not produced before"),
        (_changed("twice"), "the graph is invalid: 'y' is written twice"),
        (_changed("unwritten"), "the graph is invalid: graph output 'z' is not produced"),
        (_changed("type"), "unknown ONNX element type 99"),
        (_changed("text"), "is damaged; one of its texts is not UTF-8"),
    ],
)
@pytest.mark.parametrize("large", [True, False])
def test_a_bad_file_is_one_clear_error(
    content: bytes, message: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr("onnxq.graph.reading._LARGE", 0)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.remedy
    with pytest.raises(ModelError, match=message) as caught:
        load(content)
    assert caught.value.where.startswith("the given bytes")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx: no such file; check the path"):
        load(tmp_path / "nowhere.onnx")
    with pytest.raises(ModelError, match="is a directory, not a model"):
        load(str(tmp_path))
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "file" / "model.onnx")


def test_every_form_of_a_model_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(_PROTO.SerializeToString())
    model = load(path)
    assert load(model) is model
    for source in (str(path), _PROTO.SerializeToString(), _PROTO):
        assert load(source).to_proto() == _PROTO


def test_facts_about_a_model() -> None:
    text = """<ir_version: 9, opset_import: ["my.ops": 3, "ai.onnx": 17]>
      g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { [n] y = Add(x, w) }"""
    model = load(parse_model(text))
    assert model.opset == 17
    assert model.domains == {"my.ops": 3, "ai.onnx": 17}
    assert [t.name for t in (*model.inputs, *model.outputs, *model.constants)] == ["x", "y", "w"]
    assert list(model.variables) == ["x", "y"]
    assert model.stored_bytes() == 8
