"""A convolution kept float between integer ones stays float in the engine too."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq

_SAMPLES = [
    {"x": np.random.default_rng(seed).normal(0, 1, (1, 16, 9, 9)).astype(np.float32)}
    for seed in range(4)
]


def _chain(*, bias: bool):
    """Three convolutions with Relu between; the second one's weights differ much by channel."""
    random = np.random.default_rng(0)
    nodes, weights, current = [], [], "x"
    for index in range(3):
        weight = random.normal(0, 0.3, (16, 16, 1, 1)).astype(np.float32)
        weight *= 10.0 ** random.uniform(-3, 0, (16, 1, 1, 1)).astype(np.float32)
        inputs = [current, f"w{index}"]
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        if bias:
            values = random.normal(0, 0.1, 16).astype(np.float32)
            values[0] = 0.0
            weights.append(numpy_helper.from_array(values, f"b{index}"))
            inputs.append(f"b{index}")
        nodes.append(helper.make_node("Conv", inputs, [f"c{index}"], f"conv{index}"))
        current = f"r{index}"
        nodes.append(helper.make_node("Relu", [f"c{index}"], [current], f"relu{index}"))
    shape = ["batch", 16, 9, 9]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("r2", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("bias", [True, False])
def test_the_engine_does_not_quantize_what_we_did_not(bias, tmp_path):
    careless = tmp_path / "careless.toml"
    careless.write_text('extends = "ort-cpu"\nname = "careless"\nquantizes_weights = []\n')
    shielded, exposed = (
        onnxq.quantize(
            _chain(bias=bias),
            calibration=_SAMPLES,
            config=onnxq.Config(skip=["conv1"], target=target, effort="quick"),
        )
        for target in ("ort-cpu", str(careless))
    )
    assert shielded.placement is not None
    assert exposed.placement is not None
    assert shielded.placement.operators["QLinearConv"] == 2
    assert exposed.placement.operators["QLinearConv"] == 3
    assert shielded.placement.weight_conversions == 1  # the bias
    assert shielded.fidelity["r2"].sqnr > exposed.fidelity["r2"].sqnr


def test_the_bias_loses_nothing(run_model):
    config = onnxq.Config(skip=["conv1"], effort="quick")
    model = _chain(bias=True)
    result = onnxq.quantize(model, calibration=_SAMPLES, config=config, verify=False)
    proto = result.model.to_proto()
    bias = next(n for n in proto.graph.node if n.name == "conv1").input[2]
    proto.graph.output.append(helper.make_tensor_value_info(bias, TensorProto.FLOAT, [16]))
    found = run_model(proto, _SAMPLES[0])[bias]
    given = next(t for t in model.graph.initializer if t.name == "b1")
    np.testing.assert_array_equal(found, numpy_helper.to_array(given))
