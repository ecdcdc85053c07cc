"""Saving is all or nothing, and weights may lie beside the model."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError, OutputError
from onnxq.graph import Model, atomic_file, constant, load, read, save


def _proto(weight: np.ndarray | None = None) -> onnx.ModelProto:
    weight = np.arange(1024, dtype=np.float32) if weight is None else weight
    node = helper.make_node("Identity", ["w"], ["y"], name="n")
    output = helper.make_tensor_value_info(
        "y", helper.np_dtype_to_tensor_dtype(weight.dtype), weight.shape
    )
    initializer = numpy_helper.from_array(weight, "w")
    initializer.doc_string = "the weight"
    initializer.metadata_props.add(key="layer", value="1")
    graph = helper.make_graph([node], "g", [], [output], [initializer])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model whose weight lies in model.onnx.data."""
    return save(load(_proto()), tmp_path / "model.onnx", external_data=True)


def _weight(path: Path) -> np.ndarray:
    return read(load(path).constants[0])


def _run(path: Path) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {})[0]


def _files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_the_result_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    one, two = (save(load(_proto()), tmp_path / n).read_bytes() for n in ("a.onnx", "b.onnx"))
    assert one == two == _proto().SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", [np.float32, np.int8, ml_dtypes.bfloat16, ml_dtypes.int4, str])
@pytest.mark.parametrize("source", ["proto", "edited", "external"])
def test_large_weights_are_written_as_protobuf_would(
    kind: type, source: str, tmp_path: Path
) -> None:
    """They are copied past protobuf, straight into the file."""
    value = (np.arange(300_000) % 7).astype(kind)
    proto = _proto(value.astype(object) if kind is str else value)
    model = load(proto)
    if source == "external":
        model = load(save(model, tmp_path / "apart.onnx", external_data=True))
    if source == "edited":
        model.nodes[0].inputs[0] = constant("v", read(model.constants[0]))
        proto.graph.node[0].input[0] = "v"
        proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(value, "v"))
    saved = save(model, tmp_path / "m.onnx", external_data=False)
    assert saved.read_bytes() == proto.SerializeToString(deterministic=True)


def test_floats_that_are_not_raw_stay_so(tmp_path: Path) -> None:
    proto = _proto()
    values = helper.make_tensor("w", TensorProto.FLOAT, [100_000], np.ones(100_000))
    proto.graph.initializer[0].CopyFrom(values)
    assert not values.raw_data
    saved = save(load(proto), tmp_path / "m.onnx")
    assert saved.read_bytes() == proto.SerializeToString(deterministic=True)


def test_weights_kept_apart_come_back_with_their_documentation(external: Path) -> None:
    assert _files(external.parent) == {"model.onnx", "model.onnx.data"}
    assert external.stat().st_size < 1000
    (tensor,) = onnx.load(external, load_external_data=False).graph.initializer
    assert tensor.data_location == TensorProto.EXTERNAL
    assert (tensor.doc_string, tensor.metadata_props[0].value) == ("the weight", "1")
    np.testing.assert_array_equal(_weight(external), np.arange(1024, dtype=np.float32))
    np.testing.assert_array_equal(_run(external), np.arange(1024, dtype=np.float32))


def test_a_model_with_weights_apart_keeps_them_apart(external: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    again = save(load(external), tmp_path / "other/again.onnx")
    assert _files(again.parent) == {"again.onnx", "again.onnx.data"}
    np.testing.assert_array_equal(_run(again), np.arange(1024, dtype=np.float32))


def test_weights_can_be_brought_back_into_the_file(external: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = save(load(external), tmp_path / "other/one.onnx", external_data=False)
    assert _files(one.parent) == {"one.onnx"}
    assert one.read_bytes() == _proto().SerializeToString(deterministic=True)


def test_an_edited_weight_is_written_and_the_old_file_stays(external: Path, tmp_path: Path) -> None:
    model = load(external)
    (old,) = model.constants
    model.nodes[0].inputs[0] = constant("v", read(old) * 2)
    (tmp_path / "other").mkdir()
    edited = save(model, tmp_path / "other/edited.onnx", external_data=True)
    np.testing.assert_array_equal(_run(edited), np.arange(1024) * np.float32(2))
    np.testing.assert_array_equal(_run(external), np.arange(1024, dtype=np.float32))


def test_a_model_saved_over_itself_can_still_be_read(external: Path) -> None:
    """The new data file has other offsets than the one the model was opened from."""
    proto = load(external).to_proto()
    proto.graph.node.insert(0, helper.make_node("Add", ["before", "w"], ["sum"]))
    proto.graph.initializer.insert(0, numpy_helper.from_array(np.ones(1024, np.float32), "before"))
    proto.graph.output.add(name="sum")
    model = Model(proto, external.parent)
    for _ in range(2):
        save(model, external, external_data=True)
        values = {c.name: read(c) for c in model.constants}
        np.testing.assert_array_equal(values["before"], np.ones(1024))
        np.testing.assert_array_equal(values["w"], np.arange(1024))
    assert {c.name: float(read(c)[5]) for c in load(external).constants} == {"before": 1, "w": 5}


@pytest.mark.parametrize("kind", [np.int8, ml_dtypes.int4, ml_dtypes.bfloat16, np.float64])
def test_types_of_every_width_are_read_from_beside(kind: type, tmp_path: Path) -> None:
    weight = (np.arange(2049) % 7).astype(kind)
    path = save(load(_proto(weight)), tmp_path / "m.onnx", external_data=True)
    np.testing.assert_array_equal(_weight(path), weight)
    assert onnx.load(path).graph.initializer[0].raw_data == numpy_helper.from_array(weight).raw_data


@pytest.mark.parametrize("kind", [np.float32, np.int8, ml_dtypes.int4])
def test_truncated_data_is_an_error(kind: type, tmp_path: Path) -> None:
    path = save(load(_proto(np.ones(4096, kind))), tmp_path / "m.onnx", external_data=True)
    data = tmp_path / "m.onnx.data"
    os.truncate(data, data.stat().st_size - 1)
    with pytest.raises(ModelError, match=r"tensor 'w': external data is truncated; m\.onnx\.data"):
        _weight(path)


def test_missing_data_is_an_error(external: Path) -> None:
    (external.parent / "model.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"no file 'model\.onnx\.data' beside the model"):
        _weight(external)


@pytest.mark.parametrize("location", ["../secret", "a/../../secret", "/etc/hostname", ""])
def test_data_outside_the_models_folder_is_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    (tmp_path / "in").mkdir()
    path = save(load(_proto()), tmp_path / "in/m.onnx", external_data=True)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].external_data[0].value = location
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="external data cannot be read"):
        _weight(path)


def test_data_behind_a_link_is_read(tmp_path: Path) -> None:
    """Caches of model hubs keep files as links into a store."""
    (tmp_path / "store").mkdir()
    (tmp_path / "view").mkdir()
    save(load(_proto()), tmp_path / "store/m.onnx", external_data=True)
    for name in ("m.onnx", "m.onnx.data"):
        (tmp_path / "view" / name).symlink_to(tmp_path / "store" / name)
    np.testing.assert_array_equal(_weight(tmp_path / "view/m.onnx"), np.arange(1024))


def test_external_attributes_are_read_and_saved_elsewhere(external: Path, tmp_path: Path) -> None:
    proto = onnx.load(external, load_external_data=False)
    node = helper.make_node("Constant", [], ["y"], value=proto.graph.initializer[0])
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.node.append(node)
    external.write_bytes(proto.SerializeToString())
    (tmp_path / "other").mkdir()
    other = save(load(external), tmp_path / "other/m.onnx")
    np.testing.assert_array_equal(_run(other), np.arange(1024, dtype=np.float32))


def test_legacy_models_write_their_data_once(tmp_path: Path) -> None:
    text = """<ir_version: 3, opset_import: ["": 8]>
      g (float[1024] w) => (float[1024] y) { t = Relu(w) y = Add(t, w) }"""
    proto = parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1024, np.float32), "w"))
    model = load(proto)
    model.nodes[1].inputs[0] = constant("v", np.ones(1024, np.float32))
    save(model, tmp_path / "m.onnx", external_data=True)
    assert (tmp_path / "m.onnx.data").stat().st_size == 2 * 4096


class _AbortError(Exception):
    pass


@pytest.mark.parametrize("error", [_AbortError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_save_leaves_the_old_file(
    error: type[BaseException], tmp_path: Path
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic_file(target) as file:
        file.write(b"half of the new one")
        raise error
    assert target.read_bytes() == b"old"
    assert _files(tmp_path) == {"file"}


@pytest.mark.parametrize("external_data", [False, True])
def test_a_full_disk_leaves_the_old_files(
    external_data: bool, external: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in external.parent.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; free some space") as caught:
        save(load(external), external, external_data=external_data)
    assert caught.value.where == str(external)
    assert {p.name: p.read_bytes() for p in external.parent.iterdir()} == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, where the system lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("external_data", [False, True])
def test_a_really_full_disk(external_data: bool, small_disk: Path) -> None:
    save(load(_proto()), small_disk / "m.onnx", external_data=external_data)
    before = {p.name: p.read_bytes() for p in small_disk.iterdir()}
    model = load(_proto(np.ones(40_000, np.float32)))
    with pytest.raises(OutputError, match="No space left on device"):
        save(model, small_disk / "m.onnx", external_data=external_data)
    assert {p.name: p.read_bytes() for p in small_disk.iterdir()} == before


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written; No such file or directory"):
        save(load(_proto()), tmp_path / "nowhere/m.onnx")


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(OutputError, match="cannot be written; Is a directory"):
        save(load(_proto()), tmp_path / "m.onnx")
    assert _files(tmp_path) == {"m.onnx"}


@pytest.mark.slow
def test_more_than_2_gb(tmp_path: Path) -> None:
    """A sparse file stands for the weights, so that hardly any disk is used."""
    count = 2**29 + 1024
    data = tmp_path / "m.onnx.data"
    with data.open("wb") as file:
        file.truncate(4 * count)
        file.seek(4 * 7)
        file.write(np.float32(3).tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[count], data_location=1)
    tensor.external_data.add(key="location", value=data.name)
    proto = _proto()
    proto.graph.initializer[0].CopyFrom(tensor)
    proto.graph.node[0].CopyFrom(helper.make_node("ReduceMax", ["w"], ["y"], keepdims=0))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, []))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = load(tmp_path / "m.onnx")
    assert model.stored_bytes() > 2**31
    with pytest.raises(OutputError, match="into one file; it would pass protobuf's limit"):
        save(model, tmp_path / "one.onnx", external_data=False)
    (tmp_path / "out").mkdir()
    saved = save(model, tmp_path / "out/m.onnx")
    assert _run(saved) == 3
    (tmp_path / "out/m.onnx.data").unlink()
