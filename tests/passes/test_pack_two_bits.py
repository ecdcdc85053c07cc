"""2-bit codes lie four to a byte, and decode to the same numbers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from onnxq.graph import Model, load
from onnxq.passes import Applied, DeduplicateConstants, PackTwoBits, Refused, apply_passes


def proto(opset: int, kind: str, codes: NDArray[Any], zero: Any = None) -> ModelProto:
    """A product with weights [4, 8], one scale per column."""
    dtype = np.dtype(getattr(ml_dtypes, kind))
    constants = {"w": codes.astype(dtype), "s": np.linspace(0.5, 2, 8).astype(np.float32)}
    if zero is not None:
        constants["z"] = np.full(8, zero, np.int8).astype(dtype)
    names = list(constants)
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", names, ["d"], "decode", axis=1),
            helper.make_node("MatMul", ["x", "d"], ["y"], "product"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=13 if opset > 23 else 10)


def run(model: ModelProto) -> NDArray[Any]:
    options = onnxruntime.SessionOptions()
    # Other types are multiplied by other kernels, which add in another order.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    found: NDArray[Any] = session.run(None, {"x": x})[0]
    return found


def packed(given: ModelProto) -> tuple[Model, list[Any]]:
    model = load(given)
    reports = apply_passes(model, [PackTwoBits(), DeduplicateConstants()])
    return model, [event for report in reports for event in report.events]


CASES = [("int4", -2, 1, None), ("int4", -2, 1, -1), ("uint4", 0, 3, None), ("uint4", 0, 3, 2)]


@pytest.mark.parametrize(("kind", "low", "high", "zero"), CASES)
def test_codes_of_two_bits_are_packed(kind: str, low: int, high: int, zero: Any) -> None:
    codes = np.random.default_rng(0).integers(low, high + 1, (4, 8))
    given = proto(25, kind, codes, zero)
    model, events = packed(given)
    written = model.to_proto()
    checker.check_model(written, full_check=True)
    stored = {i.name: i for i in written.graph.initializer}
    weight = stored["w_2bit"]
    assert weight.data_type == (TensorProto.INT2 if kind == "int4" else TensorProto.UINT2)
    assert len(weight.raw_data) == 8
    assert "w" not in stored and "z" not in stored
    assert any(isinstance(event, Applied) for event in events)
    np.testing.assert_array_equal(run(written), run(given))


@pytest.mark.parametrize(
    ("opset", "high", "zero"), [(24, 1, None), (21, 1, None), (25, 2, None), (25, 1, 3)]
)
def test_what_does_not_fit_stays(opset: int, high: int, zero: Any) -> None:
    codes = np.full((4, 8), high)
    given = proto(opset, "int4", codes, zero)
    model, events = packed(given)
    assert {i.data_type for i in model.to_proto().graph.initializer} <= {
        TensorProto.INT4,
        TensorProto.FLOAT,
    }
    assert [type(event) for event in events] == ([Refused] if opset == 25 else [])
