"""Biases that are added, and biases that are changed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.passes import AddBiases, SetBiases, apply_passes
from onnxq.plan import Use

LAYERS = {
    "conv": ("float[1,4,5] x", "y = Conv<group=2>(x, w)", (6, 2, 3), 6),
    "transposed": ("float[1,4,5] x", "y = ConvTranspose<group=2>(x, w)", (4, 3, 3), 6),
    "gemm": ("float[2,4] x", "y = Gemm(x, w)", (4, 3), 3),
    "gemm-turned": ("float[2,4] x", "y = Gemm<transB=1>(x, w)", (3, 4), 3),
}


def built(inputs, body, weights, opset=17):
    output = "float[n,c,s]" if "Conv" in body else "float[n,c]"
    proto = parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({output} y) {{ {body} }}'
    )
    generator = np.random.default_rng(0)
    for name, shape in weights.items():
        value = generator.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return proto


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_without_bias_gets_zeros(applying, name):
    inputs, body, shape, channels = LAYERS[name]
    outcome = applying(built(inputs, f"[layer] {body}", {"w": shape}), AddBiases())
    assert outcome.applied == [f"got a bias of {channels} zeros"]


@pytest.mark.parametrize(
    ("inputs", "body", "weights"),
    [
        ("float[1,4,5] x", "y = Conv(x, w, b)", {"w": (6, 4, 3), "b": (6,)}),
        ("float[1,4,5] x, float[6,4,3] w", "y = Conv(x, w)", {}),
        ("float[2,4] x", "y = MatMul(x, w)", {"w": (4, 3)}),
    ],
    ids=["has-one", "computed-weight", "matmul"],
)
def test_other_layers_stay(applying, inputs, body, weights):
    assert applying(built(inputs, body, weights), AddBiases()).applied == []


def test_a_shared_bias_changes_for_one_use_alone():
    model = load(
        built(
            "float[2,4] x",
            "[one] a = Gemm(x, w, b) [two] c = Gemm(x, w, b) y = Add(a, c)",
            {"w": (4, 3), "b": (3,)},
        )
    )
    new = np.array([1.0, 2.0, 3.0])
    [report] = apply_passes(model, [SetBiases({Use("one", 2): new})])
    nodes = {node.name: node for node in model.nodes}
    np.testing.assert_array_equal(nodes["one"].inputs[2].stored, new.astype(np.float32))
    assert nodes["two"].inputs[2].name == "b"
    assert report.applied[0].what.startswith("changed its bias 'b' by up to ")
