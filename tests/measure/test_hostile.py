"""Facts about models that are made to overflow whoever counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.measure import summarize


def text(body: str, constants: str) -> onnx.ModelProto:
    return parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
        g (float[4, 4] x) => (float[A, B] y) <{constants}> {{ {body} }}""")


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("a = ConstantOfShape (n) y = Add (x, a)", f"int64[2] n = {{{2**33}, 4}}"),
        ("a = Range (f, l, d) s = Shape (a) y = Reshape (x, s)",
         f"int64 f = {{0}}, int64 l = {{{2**40}}}, int64 d = {{1}}"),
        ("a = Tile (x, n) s = Shape (a) y = Reshape (x, s)", f"int64[2] n = {{{2**40}, {2**40}}}"),
        ("a = Expand (x, n) s = Size (a) y = Add (x, x)", f"int64[3] n = {{{2**62}, 4, 4}}"),
    ],
)  # fmt: skip
def test_sizes_that_no_memory_holds(body: str, constants: str) -> None:
    assert summarize(text(body, constants)).operators


@pytest.mark.parametrize("shape", [(2, 2), (3,), (4, 4, 4), (1, 4), (0,)])
def test_zero_points_of_any_shape(shape: tuple[int, ...]) -> None:
    model = text(
        "w = DequantizeLinear (W, s, z) y = MatMul (x, w)",
        "int8[4, 4] W = {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1}, float s = {1}",
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.int8), "z"))
    weight = summarize(model).parameters.weights[0]
    assert (weight.tensor, weight.zeros) == ("W", 8)


def test_unsound_files_are_refused(tmp_path: Path) -> None:
    model = text("y = MatMul (x, W)", "float[4] W = {1, 2, 3, 4}")
    model.graph.initializer[0].dims[0] = 2**40
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="tensor 'W': a stored tensor is damaged"):
        summarize(tmp_path / "m.onnx")


def test_inference_that_runs_out_of_room() -> None:
    model = text("y = Unsqueeze (x, a)", "int64[1] a = {0}")
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(TensorProto(name="a", data_type=TensorProto.INT64, dims=[1]))
    tensor.int64_data.append(2**62)
    assert summarize(model).operators == {"Unsqueeze": 1}
