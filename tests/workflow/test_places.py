from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.errors import ModelError, OutputError, UsageError
from onnxq.graph import load, save
from onnxq.workflow import check_places, model_files, stored_size


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with a large, a small and a 4-bit constant."""
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    codes = helper.make_tensor("codes", onnx.TensorProto.INT4, [100, 100], bytes(5000), raw=True)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
        helper.make_node("Identity", ["codes"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 64])],
        [
            helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 64]),
            helper.make_tensor_value_info("z", onnx.TensorProto.INT4, [100, 100]),
        ],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.zeros(64, np.float32), "b"),
            codes,
        ],
    )
    path = tmp_path / "model.onnx"
    opsets = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_external_data_belongs_to_the_model(model: Path, tmp_path: Path) -> None:
    save(load(model), tmp_path / "apart.onnx", external_data=True)
    assert model_files(tmp_path / "apart.onnx") == [
        tmp_path / "apart.onnx",
        tmp_path / "apart.onnx.data",
    ]
    (tmp_path / "apart.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"apart\.onnx\.data"):
        model_files(tmp_path / "apart.onnx")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_inputs_are_recognized_through_links(model: Path, tmp_path: Path, link) -> None:
    other = tmp_path / "other.onnx"
    link(model, other)
    with pytest.raises(UsageError, match="--output: would overwrite"):
        check_places(read=[model], written={"--output": other})


def test_every_result_has_a_name_of_its_own(tmp_path: Path) -> None:
    same = {"--output": tmp_path / "a", "--report": tmp_path / "x" / ".." / "a"}
    with pytest.raises(UsageError, match="--report: names the same file as --output"):
        check_places(read=[], written=same)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        check_places(read=[], written={"--output": tmp_path})
    with pytest.raises(OutputError, match="its folder does not exist"):
        check_places(read=[], written={"--output": tmp_path / "none" / "a.onnx"})


def test_what_is_not_wanted_is_not_checked(tmp_path: Path) -> None:
    check_places(read=[tmp_path / "a"], written={"--report": None})


def test_stored_size_is_that_of_the_file(model: Path) -> None:
    # The framing of large constants is only estimated.
    assert stored_size(load(model)) == pytest.approx(model.stat().st_size, abs=100)
