from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from onnxq.errors import ModelError
from onnxq.measure import Kind, read_optimized


def test_counts_of_a_chain(qdq: Any, optimize: Any) -> None:
    inner = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    qdq.line(f"[tanh] t = Tanh({inner})")
    result = qdq.quantize("t")
    model = qdq.model("float[1,4,4,4] x", f"float[1,4,4,4] {result}")
    coverage = read_optimized(optimize(model))
    assert coverage.counts == {
        Kind.INTEGER: 1,
        Kind.FLOAT: 1,
        Kind.CONVERSION: 4,
        Kind.INDEX: 0,
    }
    assert [node.name for node in coverage.of_kind(Kind.INTEGER)] == ["conv1"]
    assert coverage.operators[Kind.FLOAT] == {"Tanh": 1}
    assert coverage.integer_share == 0.5
    assert coverage.weight_conversions == ()


def test_layout_changes_do_not_raise_the_share(qdq: Any, optimize: Any) -> None:
    inner = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    qdq.line(f"[tanh] t = Tanh({inner})")
    model = qdq.model("float[1,4,4,4] x", f"float[1,4,4,4] {qdq.quantize('t')}")
    coverage = read_optimized(optimize(model, everything=True))
    assert coverage.counts[Kind.INTEGER] == 3
    assert coverage.operators[Kind.INTEGER]["com.microsoft::QLinearConv"] == 1
    assert coverage.integer_share == 0.5


def test_weight_dequantized_in_every_run(qdq: Any, optimize: Any) -> None:
    model = qdq.model("float[1,4,4,4] x", f"float[1,4,4,4] {qdq.conv('conv1', 'x')}")
    coverage = read_optimized(optimize(model))
    assert [node.name for node in coverage.weight_conversions] == ["conv1_w_DQ"]
    assert coverage.integer_share == 0.0


def test_shapes_and_indices_are_a_kind_of_their_own(optimize: Any) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 4] x, int64[K] i) => (float[K, 4] y, int64[2] s) {
            [gather] y = Gather(x, i)
            [shape] s = Shape(y)
        }""")
    kinds = {node.name: node.kind for node in read_optimized(optimize(model)).nodes}
    assert kinds == {"gather": Kind.FLOAT, "shape": Kind.INDEX}


def test_int8_data_movement_is_integer(optimize: Any) -> None:
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        g (uint8[2, 4] x) => (uint8[4, 2] y) { [t] y = Transpose(x) }""")
    (node,) = read_optimized(optimize(model)).nodes
    assert node.kind is Kind.INTEGER
    assert not node.computes


def test_path_is_read(qdq: Any, optimize: Any, tmp_path: Path) -> None:
    model = qdq.model("float[1,4,4,4] x", f"float[1,4,4,4] {qdq.conv('conv1', 'x')}")
    onnx.save(optimize(model), tmp_path / "o.onnx")
    assert read_optimized(tmp_path / "o.onnx").counts[Kind.FLOAT] == 1


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        read_optimized(tmp_path / "none.onnx")
