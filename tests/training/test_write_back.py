"""Trained values in the model they came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.errors import UsageError
from onnxq.graph import load
from onnxq.training import run_arrays, to_torch, write_back
from onnxq.training.operators import array_of


def _proto() -> onnx.ModelProto:
    """A weight in raw bytes, one in floats, one in a Constant node; metadata everywhere."""
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [
        helper.make_node("MatMul", ["x", "raw.w"], ["a"], "first"),
        helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(value[0], "v")),
        helper.make_node("Add", ["a", "inner"], ["b"]),
        helper.make_node("Mul", ["b", "listed"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 2])],
        [helper.make_tensor_value_info("y", 1, ["n", 3])],
        [
            numpy_helper.from_array(value, "raw.w"),
            helper.make_tensor("listed", 1, [3], [1.0, 2.0, 3.0]),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    proto.metadata_props.add(key="author", value="somebody")
    proto.graph.node[0].doc_string = "documented"
    return proto


def _bytes(proto: onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


def test_without_training_nothing_changes() -> None:
    model = load(_proto())
    module = to_torch(model)
    values = {name: array_of(t) for name, t in module.tensors_by_name.items()}
    assert set(values) == {"raw.w", "listed", "inner"}
    assert _bytes(write_back(model, values).to_proto()) == _bytes(_proto())


def test_only_what_is_asked_for_changes() -> None:
    model = load(_proto())
    new = {"raw.w": np.ones((2, 3), np.float32), "inner": np.full(3, 7, np.float32)}
    after = write_back(model, new).to_proto()
    expected = _proto()
    expected.graph.initializer[0].CopyFrom(numpy_helper.from_array(new["raw.w"], "raw.w"))
    expected.graph.node[1].attribute[0].t.CopyFrom(numpy_helper.from_array(new["inner"], "v"))
    assert _bytes(after) == _bytes(expected)
    assert _bytes(model.to_proto()) == _bytes(_proto())


def test_the_engine_computes_what_torch_computed(run_model: Any) -> None:
    model = load(_proto())
    module = to_torch(model)
    with np.errstate(all="raise"):
        for parameter in module.parameters():
            parameter.data += 0.25
    feed = {"x": np.array([[1, 2], [3, -4]], np.float32)}
    values = {name: array_of(t) for name, t in module.tensors_by_name.items()}
    found = run_model(write_back(model, values).to_proto(), feed)["y"]
    np.testing.assert_allclose(found, run_arrays(module, feed)["y"], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"raw.w": np.ones((3, 2), np.float32)}, "float32 [3, 2] cannot be written"),
        ({"raw.w": np.ones((2, 3))}, "float64 [2, 3] cannot be written"),
        ({"other": np.ones(3)}, "no constant 'other'"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_back(load(_proto()), values)
    assert text in str(caught.value)


def test_a_value_is_not_shared_with_who_gave_it() -> None:
    given = np.ones((2, 3), np.float32)
    written = write_back(load(_proto()), {"raw.w": given})
    given[:] = 5
    first = written.to_proto().graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(first), np.ones((2, 3), np.float32))
