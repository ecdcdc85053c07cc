from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.errors import ModelError
from onnxq.measure import bytes_by_dtype, file_size

TEXT = """<ir_version: 10, opset_import: ["": 21]>
g (float[2, 3] x) => (float[2, 3] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}> {
    c = Constant<value = float[3] {1, 2, 3}>()
    a = Add(x, w)
    y = Add(a, c)
}"""


def test_file_with_external_data(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    weights = {"a": np.zeros((300, 5), np.float32), "b": np.zeros((200, 5), np.float32)}
    for name, value in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", convert_attribute=False)
    found = file_size(path)
    assert found.model == path.stat().st_size
    assert found.external == {"m.data": (tmp_path / "m.data").stat().st_size}
    assert found.total == found.model + found.external["m.data"]
    assert bytes_by_dtype(path) == {"float32": 4 * (6 + 3 + 1500 + 1000)}


def test_missing_external_data(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((300, 5)), "a"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match=r"external data file 'm\.data' is missing"):
        file_size(tmp_path / "m.onnx")


def test_external_data_of_a_name_that_no_file_has(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    tensor = model.graph.initializer.add(name="a", dims=[1], data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="a" * 300)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"external data file 'a+' cannot be read.*shorter name"):
        file_size(tmp_path / "m.onnx")


def test_broken_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x99no model")
    with pytest.raises(ModelError, match="the model cannot be read"):
        file_size(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no such model file"):
        file_size(tmp_path / "none.onnx")


def test_packed_sparse_and_text_constants() -> None:
    model = onnx.parser.parse_model(TEXT)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(7, ml_dtypes.int4), "nibbles"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(["ab", "c"], object), "t"))
    values = helper.make_tensor("s", onnx.TensorProto.FLOAT16, [2], np.ones(2, np.float16))
    indices = helper.make_tensor("s_i", onnx.TensorProto.INT64, [2], [0, 9])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [10]))
    assert bytes_by_dtype(model) == {
        "float32": 36,
        "int64": 16,
        "int4": 4,
        "float16": 4,
        "string": 3,
    }


def test_constants_in_bodies_count(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        g (bool c, float[2] x) => (float[2] y) {
            y = If(c) <
                then_branch = t () => (float[2] a) <float[2] w = {1, 2}> { a = Add(x, w) },
                else_branch = e () => (float[2] b) { b = Neg(x) }
            >
        }""")
    assert bytes_by_dtype(model) == {"float32": 8}
