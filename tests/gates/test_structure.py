"""The gates that look at the graph without running it: structure, and what other engines take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.parser import parse_model

import onnxq
from onnxq.config import Config
from onnxq.graph import load, promise_sparsity
from onnxq.quant import Pattern


def test_operators(place: Path, failed: Any, run: Any) -> None:
    allowed = ["Conv", "Relu", "GlobalAveragePool", "Flatten"]
    result = run(place, structure={"allow_operators": allowed})
    failed(result, "structure.operators", "1 node", "Gemm (1)")
    failed(run(place, structure={"deny_operators": ["Relu"]}), "structure.operators", "Relu (1)")
    assert run(place, structure={"allow_operators": [*allowed, "Gemm"]}).success


def test_float_weights(place: Path, failed: Any, run: Any) -> None:
    failed(
        run(place, structure={"no_float_weights": True}),
        "structure.float-weights",
        "2 layers with float weights, none allowed: conv, dense",
    )
    allowed = ["conv", {"op_type": "Gemm"}]
    assert run(place, structure={"no_float_weights": True, "float_layers": allowed}).success


def test_sparsity(
    place: Path, small: Any, edited: Any, failed: Any, one: Any, run: Any, save: Any
) -> None:
    settings = {"sparsity": "2:4"}
    assert one(run(place, structure=settings), "structure.sparsity").verdict.status == "skipped"
    failed(run(place, baseline=None, structure=settings), "structure.sparsity", "conv, dense")
    sparse = small()
    edited(sparse, "W", lambda value: value.__setitem__((slice(None), slice(0, 2)), 0.0))
    save(place, sparse)
    onnx.save(sparse, place / "base.onnx")
    assert run(place, structure=settings).success
    named = {**settings, "sparse_layers": ["dense"]}
    failed(run(place, structure=named), "structure.sparsity", "blocks break 2:4", "dense")
    renamed = onnx.ModelProto()
    renamed.CopyFrom(sparse)
    renamed.graph.node[0].name = "other"
    save(place, renamed)
    failed(run(place, structure=settings), "structure.sparsity", "gone, none allowed: conv")


def test_promised_patterns(
    place: Path, small: Any, edited: Any, failed: Any, one: Any, run: Any, save: Any
) -> None:
    sparse = small()
    edited(sparse, "W", lambda value: value.__setitem__((slice(None), slice(0, 2)), 0.0))
    model = load(sparse)
    promise_sparsity(model, {"conv": Pattern.parse("2:4")})
    proto = model.to_proto()
    save(place, proto)
    assert one(run(place, structure={}), "structure.promises").verdict.status == "passed"
    edited(proto, "W", lambda value: value.__setitem__((0, 0, 0, 0), 1.0))
    save(place, proto)
    failed(run(place, structure={}), "structure.promises", "1 layer of 1 break", "conv: 1 of 72")


def test_ports(place: Path, small: Any, failed: Any, run: Any, save: Any) -> None:
    proto = small()
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 7
    save(place, proto)
    failed(
        run(place, structure={}),
        "structure.inputs",
        "'image' was float32 [N, 4, 6, 6] and is float32 [N, 4, 7, 6]",
    )
    proto = small()
    proto.graph.node.append(helper.make_node("Relu", ["scores"], ["more"], "more"))
    proto.graph.output.append(helper.make_tensor_value_info("more", 1, ["N", 3]))
    save(place, proto)
    failed(run(place, structure={}), "structure.outputs", "'more' is new")
    assert run(place, structure={"same_interface": False}).success


_QDQ = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N,4,6,6] image) => (float[N,8,4,4] y)
<float s = {0.1}, %s z = {%s}, float[8] t = {1,1,1,1,1,1,1,1}, int8[8] p = {0,0,0,0,0,0,0,0}> {
    [q] a = QuantizeLinear (image, s, z)
    [d] b = DequantizeLinear (a, s, z)
    [w] c = DequantizeLinear <axis = 0> (W, t, p)
    [conv] e = Conv (b, c)
    [q2] f = QuantizeLinear (e, s, z)
    [d2] y = DequantizeLinear (f, s, z)
}
"""


def quantized(dtype: str, point: int) -> onnx.ModelProto:
    proto = parse_model(_QDQ % (dtype, point))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((8, 4, 3, 3), np.int8), "W"))
    return proto


def test_lint(place: Path, failed: Any, one: Any, run: Any, save: Any) -> None:
    save(place, quantized("int8", 0))
    both = {"targets": ["tensorrt", "qnn"], "min_share": 1.0}
    assert run(place, baseline=None, lint=both).success
    save(place, quantized("uint8", 128))
    result = run(place, baseline=None, lint=both)
    failed(result, "lint.tensorrt-takes", "2 faults", "'a' is unsigned; only signed codes")
    assert one(result, "lint.qnn-takes").verdict.status == "passed"
    save(place, quantized("int8", 3))
    result = run(place, baseline=None, lint=both)
    failed(result, "lint.tensorrt-takes", "'a' has zero point 3; only 0 is taken")


@pytest.mark.parametrize("target", ["tensorrt", "qnn", "openvino"])
def test_what_is_made_for_a_target_passes_its_lint(
    place: Path, target: str, run: Any, save: Any
) -> None:
    digits = Path(__file__).parents[2] / "samples" / "digits"
    config = Config(target=target, effort="none", calibration={"method": "min-max", "samples": 8})
    made = onnxq.quantize(
        digits / "model.onnx", calibration=str(digits / "calibration.npz"), config=config
    )
    save(place, made.model.to_proto())
    result = run(place, baseline=None, lint={"targets": [target], "min_share": 0.99})
    assert result.success, [check.verdict for check in result.failures]


def test_lint_of_what_stays_float(place: Path, failed: Any, one: Any, run: Any) -> None:
    result = run(place, lint={"targets": ["tensorrt"], "min_share": 0.5})
    assert one(result, "lint.tensorrt-takes").verdict.status == "passed"
    failed(result, "lint.tensorrt-accelerates", "0 %", "50 points short", "conv")
