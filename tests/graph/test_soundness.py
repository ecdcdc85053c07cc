"""Files that are no sound models end in an error that says what is wrong, before anything reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import load, read, save

Change = Callable[[onnx.ModelProto], object]


def model() -> onnx.ModelProto:
    proto = parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[2, 3] x, bool go) => (float[A, B] y)
        <int64[2] shape = {3, 2}, float[3, 2] W = {1, 2, 3, 4, 5, 6}, int64 rounds = {3}> {
          a = Transpose <perm = [1, 0]> (x)
          b = Add (a, W)
          c = Constant <value = float[2] {1, 2}> ()
          d = Add (b, c)
          e = If (go) <then_branch = t () => (p) { p = Relu (d) },
                       else_branch = f () => (q) { q = Neg (d) }>
          y = Reshape (e, shape)
        }""")
    load(proto)
    return proto


def weight(proto: onnx.ModelProto) -> TensorProto:
    return next(t for t in proto.graph.initializer if t.name == "W")


def node(proto: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.op_type == op)


def dims(*sizes: int) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        del weight(proto).dims[:]
        weight(proto).dims.extend(sizes)

    return change


def raw(content: bytes) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        weight(proto).ClearField("float_data")
        weight(proto).raw_data = content

    return change


def texts(proto: onnx.ModelProto) -> None:
    weight(proto).CopyFrom(TensorProto(name="W", data_type=TensorProto.STRING, dims=[3, 2]))
    weight(proto).raw_data = b"abcdef"


def external(**entries: str) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        weight(proto).ClearField("float_data")
        weight(proto).data_location = TensorProto.EXTERNAL
        for key, value in {"location": "w.bin", **entries}.items():
            weight(proto).external_data.add(key=key, value=value)

    return change


def sparse(
    indices: list[Any], shape: list[int], change: Callable[[Any], object] = lambda _: None
) -> Change:
    def add(proto: onnx.ModelProto) -> None:
        values = numpy_helper.from_array(np.array([1, 2], np.float32), "S")
        places = numpy_helper.from_array(np.array(indices, np.int64), "S_indices")
        made = helper.make_sparse_tensor(values, places, shape)
        change(made)
        proto.graph.sparse_initializer.append(made)

    return add


TENSORS: dict[str, tuple[Change, str]] = {
    "negative": (dims(-3, 2), r"tensor 'W'.*a dimension of \[-3, 2\] is negative"),
    "product": (dims(2**40, 2**40), "6 numbers are stored"),
    "many dimensions": (dims(*[1] * 70), "70 dimensions"),
    "short": (raw(b"\0" * 23), r"23 bytes are stored, and \[3, 2\] needs 24"),
    "long": (raw(b"\0" * 25), "25 bytes are stored"),
    "element type": (lambda m: setattr(weight(m), "data_type", 99), "unknown ONNX element type 99"),
    "raw texts": (texts, "texts cannot be stored as raw bytes"),
    "offset": (external(offset="-1"), "offset of its external data is '-1'"),
    "digits": (external(offset="٣"), "offset of its external data"),
    "length": (external(length="1e3"), "length of its external data is '1e3'"),
    "other length": (external(length="20"), "20 bytes lie outside"),
    "segment": (lambda m: weight(m).segment.SetInParent(), "segments"),
    "sparse index": (sparse([0, 12], [4, 3]), "tensor 'S'.*an index lies outside"),
    "sparse negative": (sparse([-1, 1], [4, 3]), "an index lies outside"),
    "sparse pairs": (sparse([[0, 0], [3, 3]], [4, 3]), "an index lies outside"),
    "sparse count": (sparse([0], [4, 3]), "2 values have indices of shape"),
    "sparse bomb": (sparse([0, 1], [10**6, 10**6]), "tensor 'S': would take 4,000,000,000,000"),
    "sparse outside": (
        sparse([0, 1], [4, 3], lambda s: setattr(s.values, "data_location", TensorProto.EXTERNAL)),
        "parts of a sparse tensor cannot lie in another file",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(case: str) -> None:
    change, reason = TENSORS[case]
    proto = model()
    change(proto)
    with pytest.raises(ModelError, match=f"(?s){reason}"):
        load(proto)


def attribute(op: str, name: str, **fields: Any) -> Change:
    def change(proto: onnx.ModelProto) -> None:
        found = next(a for a in node(proto, op).attribute if a.name == name)
        for field, value in fields.items():
            setattr(found, field, value)

    return change


def deep_type(proto: onnx.ModelProto) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(4711, [1]))
    proto.graph.input.append(helper.make_value_info("s", kind))


NODES: dict[str, tuple[Change, str]] = {
    "no input": (lambda m: node(m, "Transpose").input.pop(), r"\(Transpose\).*0 inputs"),
    "nameless input": (lambda m: node(m, "Add").input.__setitem__(0, ""), "input 0 has no name"),
    "kind": (attribute("Transpose", "perm", type=AttributeProto.INT), "'perm' is not of the kind"),
    "twice": (
        lambda m: node(m, "Transpose").attribute.append(node(m, "Transpose").attribute[0]),
        "given twice",
    ),
    "missing": (lambda m: node(m, "If").attribute.pop(), "'else_branch' is missing"),
    "hollow": (lambda m: node(m, "If").attribute[0].ClearField("g"), "holds no graph"),
    "branch": (
        lambda m: node(m, "If").attribute[0].g.output.add(name="d"),
        "'then_branch' returns 2 tensors",
    ),
    "inside": (
        lambda m: node(m, "If").attribute[0].g.node[0].input.append("d"),
        r"\(Relu\).*2 inputs",
    ),
    "number": (
        lambda m: node(m, "Transpose").attribute[0].ints.__setitem__(0, 2**40),
        "'perm' is 1099511627776",
    ),
    "reference": (
        attribute("Transpose", "perm", ref_attr_name="outer"),
        "'perm' refers to one of a function",
    ),
    "opset": (lambda m: setattr(m.opset_import[0], "version", 2**40), "operator set ''"),
    "format": (lambda m: setattr(m, "ir_version", 2**40), "file format"),
    "deep type": (deep_type, "unknown ONNX element type 4711"),
    "escape": (lambda m: setattr(node(m, "Add"), "name", "a\x1b[31m"), "cannot be printed"),
    "dimension": (
        lambda m: m.graph.input[0].type.tensor_type.shape.dim.add(dim_param="\x1b[31m"),
        "cannot be printed",
    ),
    "new line": (lambda m: setattr(node(m, "Add"), "name", "a\n::error::b"), "cannot be printed"),
    "backwards": (lambda m: setattr(m.graph.input[0], "name", "\u202ex"), "cannot be printed"),
}


@pytest.mark.parametrize("case", NODES)
def test_nodes(case: str) -> None:
    change, reason = NODES[case]
    proto = model()
    change(proto)
    with pytest.raises(ModelError, match=f"(?s){reason}") as caught:
        load(proto)
    assert str(caught.value).replace("\n", "").isprintable()


def test_attributes_of_later_versions() -> None:
    text = """<ir_version: 8, opset_import: ["" : 12]>
    g (uint8[2,2] x) => (float[2,2] y) <float s = {0.5}> {
        y = DequantizeLinear <axis: %s> (x, s) }"""
    load(parse_model(text % "int = 1"))
    with pytest.raises(ModelError, match="'axis' is not of the kind INT"):
        load(parse_model(text % "ints = [1, 1]"))


def test_names_that_are_no_text() -> None:
    content = model().SerializeToString().replace(b"\x01W", b"\x01\xff")
    with pytest.raises(ModelError, match="cannot be printed"):
        load(content)


def test_operators_that_only_later_sets_have_are_taken() -> None:
    proto = parse_model("""<ir_version: 8, opset_import: ["" : 11]>
        g (float[2, 4] x) => (float[2, 4] y) <float[4] s = {1, 1, 1, 1}> {
          y = LayerNormalization <axis = -1> (x, s)
        }""")
    assert load(proto).nodes[0].op == "LayerNormalization"
    proto.graph.node[0].attribute[0].type = AttributeProto.INTS
    with pytest.raises(ModelError, match="'axis' is not of the kind INT"):
        load(proto)


def functions(*bodies: str) -> onnx.ModelProto:
    head = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[2] x) => (float[2] y) { y = own.f0 (x) }"""
    own = '<domain: "own", opset_import: ["" : 17, "own" : 1]>'
    texts = (f"{own} f{i} (a) => (b) {{ {body} }}" for i, body in enumerate(bodies))
    return parse_model("\n".join((head, *texts)))


FUNCTIONS = {
    "itself": (("b = own.f0 (a)",), "calls itself"),
    "in a circle": (("b = own.f1 (a)", "b = own.f0 (a)"), "calls itself"),
    "too many inputs": (("b = own.f1 (a, a)", "b = Relu (a)"), "more than it takes"),
    "unknown name": (("b = Add (a, c)",), "'c' is read before it is computed"),
    "written twice": (("b = Relu (a) b = Neg (a)",), "'b' is computed twice"),
    "not computed": (("c = Relu (a)",), "'b' is returned and never computed"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions(case: str) -> None:
    bodies, reason = FUNCTIONS[case]
    with pytest.raises(ModelError, match=reason):
        load(functions(*bodies))


def test_two_functions_of_one_name() -> None:
    proto = functions("b = Relu (a)")
    proto.functions.append(proto.functions[0])
    with pytest.raises(ModelError, match=r"'f0'.*two of that name"):
        load(proto)
    proto.functions[1].overload = "other"
    load(proto)


def test_functions_that_stand_for_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [f"c = own.f{i + 1} (a) b = own.f{i + 1} (c)" for i in range(40)]
    with pytest.raises(ModelError, match=f"stand for {2**40:,} nodes.*ONNXQ_NODE_LIMIT"):
        load(functions(*twice, "b = Relu (a)"))
    few = functions(*twice[:3], "c = Identity (a) b = own.f4 (c)", "b = Relu (a)")
    load(few)
    monkeypatch.setenv("ONNXQ_NODE_LIMIT", "15")
    with pytest.raises(ModelError, match="stand for 16 nodes"):
        load(few)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, beside one that is none of its business."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.bin").write_bytes(bytes(range(24)))
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "link.bin").symlink_to(tmp_path / "outside" / "secret.bin")
    (inside / "w.bin").write_bytes(bytes(24))
    (inside / "near.bin").symlink_to("w.bin")
    return inside


def write(folder: Path, location: str) -> Path:
    proto = model()
    external(location=location)(proto)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize(
    "location",
    [
        *("../outside/secret.bin", "link/secret.bin", "link.bin", "a/../../outside/secret.bin"),
        *("", "\0", "/etc/passwd"),
    ],
)
def test_weights_outside_of_the_folder(folder: Path, location: str) -> None:
    path = write(folder, location)
    with pytest.raises(ModelError, match="tensor 'W': external data cannot be read"):
        load(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_weights_in_what_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for location in ("pipe", "."):
        with pytest.raises(ModelError, match=r"tensor 'W'.* is no (regular )?file"):
            load(write(folder, location))


def test_weights_in_a_file_whose_name_is_no_text(folder: Path) -> None:
    path = write(folder, "near.bin")
    path.write_bytes(path.read_bytes().replace(b"near.bin", b"near.b\xff\xfe"))
    with pytest.raises(ModelError, match="the name of its file is not UTF-8"):
        load(path)


def test_links_can_be_allowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXQ_FOLLOW_LINKS", "1")
    loaded = load(write(folder, "link.bin"))
    value = next(c for c in loaded.constants if c.name == "W")
    assert read(value).tobytes() == bytes(range(24))


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "near.bin"])
def test_weights_inside_of_the_folder(folder: Path, location: str) -> None:
    loaded = load(write(folder, location))
    assert save(loaded, folder / "out.onnx", external_data=False).exists()


def test_a_store_of_a_hub(tmp_path: Path) -> None:
    """Model and weights are links into one store of blobs."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    write(tmp_path / "blobs", "w.bin").rename(tmp_path / "blobs" / "1f3a")
    (tmp_path / "blobs" / "77cc").write_bytes(bytes(24))
    (tmp_path / "snapshot" / "model.onnx").symlink_to("../blobs/1f3a")
    (tmp_path / "snapshot" / "w.bin").symlink_to("../blobs/77cc")
    loaded = load(tmp_path / "snapshot" / "model.onnx")
    assert not any(read(c).any() for c in loaded.constants if c.name == "W")


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
def test_pipes_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "device.onnx").symlink_to("/dev/zero")
    for name in ("pipe.onnx", "device.onnx"):
        with pytest.raises(ModelError, match="is no regular file"):
            load(tmp_path / name)
