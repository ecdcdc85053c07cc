from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.errors import ModelError
from onnxq.measure import count_parameters


def with_constants(body: str = "y = Relu(x)", **constants: Any) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": 21]>
        g (float[2, 3] x) => (float y) {{ {body} }}""")
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def test_counts_by_type() -> None:
    model = with_constants(
        "c = Constant<value = float[3] {1, 2, 3}>() y = Add(x, c)",
        w=np.ones((4, 5), np.float32),
        codes=np.ones((2, 3), np.int8),
        bias=np.ones(2, np.int32),
        text=np.array(["a"], object),
    )
    found = count_parameters(model)
    assert found.by_dtype == {"float32": 23, "int8": 6, "int32": 2, "string": 1}
    assert (found.floating, found.integer, found.total) == (23, 8, 32)
    assert [weight.tensor for weight in found.weights] == ["w", "codes"]


def test_sparsity_of_floats() -> None:
    model = with_constants(w=np.array([[0, 1], [-0.0, 2]], np.float32), b=np.zeros(9, np.float32))
    found = count_parameters(model)
    assert found.weights[0].share == 0.5
    assert found.sparsity == 0.5


@pytest.mark.parametrize("dtype", [np.uint8, ml_dtypes.uint4])
def test_zero_of_codes_is_the_zero_point(dtype: Any) -> None:
    codes = np.array([[3, 0, 3], [7, 7, 0]]).astype(dtype)
    model = with_constants(
        "d = DequantizeLinear<axis = 0>(w, s, z) y = Add(x, d)",
        w=codes,
        s=np.ones(2, np.float32),
        z=np.array([3, 7]).astype(dtype),
    )
    assert count_parameters(model).weights[0].zeros == 4


def test_zero_point_of_blocks() -> None:
    model = with_constants(
        "d = DequantizeLinear<axis = 1, block_size = 2>(w, s, z) y = Relu(d)",
        w=np.array([[1, 2, 1], [3, 3, 3]], np.int8),
        s=np.ones((2, 2), np.float32),
        z=np.array([[1, 1], [3, 0]], np.int8),
    )
    assert count_parameters(model).weights[0].zeros == 1 + 1 + 2


def test_sparse_tensor() -> None:
    model = with_constants()
    values = helper.make_tensor("s", onnx.TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("i", onnx.TensorProto.INT64, [3], [0, 5, 9])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 5]))
    found = count_parameters(model)
    assert found.total == 10
    assert found.weights[0].zeros == 7


def test_external_data_is_read(tmp_path: Path) -> None:
    model = with_constants(w=np.eye(64, dtype=np.float32))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    assert count_parameters(tmp_path / "m.onnx").weights[0].zeros == 64 * 63
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match="tensor 'w': the value cannot be read"):
        count_parameters(tmp_path / "m.onnx")


def test_model_without_weights() -> None:
    found = count_parameters(with_constants())
    assert found.total == 0
    assert found.sparsity == 0.0
