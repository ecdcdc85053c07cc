"""Bits per weight of small models, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from stored_bits import bits_per_weight


def _save(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto], folder: Path) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


def test_float_weights_do_not_count(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((64, 32), np.float32), "w")
    assert (
        bits_per_weight(_save([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight], tmp_path))
        is None
    )


def test_blocks_of_the_standard_operator(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    stored = [
        helper.make_tensor("w", TensorProto.INT4, [64, 32], np.zeros(64 * 32, np.int8)),
        numpy_helper.from_array(np.ones((2, 32), np.float32), "s"),
        helper.make_tensor("z", TensorProto.INT4, [2, 32], np.zeros(64, np.int8)),
    ]
    assert bits_per_weight(_save(nodes, stored, tmp_path)) == pytest.approx(4 + (32 + 4) / 32)


def test_blocks_of_the_fused_operator(tmp_path: Path) -> None:
    fused = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=64, N=32, bits=4,
        block_size=32,
    )  # fmt: skip
    stored = [
        numpy_helper.from_array(np.zeros((32, 2, 16), np.uint8), "w"),
        numpy_helper.from_array(np.ones(64, np.float32), "s"),
    ]
    assert bits_per_weight(_save([fused], stored, tmp_path)) == pytest.approx(5.0)
