"""Spelled activations: the same values in float, and integer operators once quantized."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.passes import SpellActivations

_HEAD = """<ir_version: 8, opset_import: ["" : 14]>
g (float[2,4,3,3] x) => (float[2,4,3,3] y) """


@pytest.mark.parametrize(
    ("node", "ops"),
    [
        ("HardSwish(x)", ["Add", "Clip", "Mul", "Mul"]),
        ("HardSigmoid(x)", ["Add", "Clip", "Mul"]),
        ("HardSigmoid<alpha = 0.7, beta = 0.1>(x)", ["Add", "Clip", "Mul"]),
        ("HardSigmoid<alpha = 0.7, beta = -0.1>(x)", ["Add", "Clip", "Mul"]),
    ],
)
def test_values_stay(applying, node, ops):
    outcome = applying(f"{_HEAD} {{ y = {node} }}", SpellActivations())
    assert outcome.ops == ops


@pytest.mark.parametrize("node", ["HardSigmoid<alpha = -0.5>(x)", "HardSigmoid<alpha = 0.0>(x)"])
def test_lines_that_do_not_rise_are_left(applying, node):
    outcome = applying(f"{_HEAD} {{ y = {node} }}", SpellActivations())
    assert outcome.ops == ["HardSigmoid"]


def test_only_those_asked_for(applying):
    body = "{ [first] a = HardSwish(x) [second] b = HardSwish(a) y = HardSigmoid(b) }"
    one = SpellActivations(frozenset(["HardSwish"]), keep=frozenset(["first"]))
    outcome = applying(_HEAD + body, one)
    assert outcome.ops == ["HardSwish", "Add", "Clip", "Mul", "Mul", "HardSigmoid"]
    assert outcome.model.nodes[4].name == "second"


def test_chains_of_convolutions_run_in_integers():
    random = np.random.default_rng(0)
    samples = [{"x": random.normal(0, 1, (1, 16, 9, 9)).astype(np.float32)} for _ in range(8)]
    quick = onnxq.Config(effort="quick")
    result = onnxq.quantize(_chain(random), calibration=samples, config=quick)
    assert result.placement is not None
    counts = result.placement.operators
    assert counts["com.microsoft::QLinearAdd"] == counts["com.microsoft::QLinearMul"] == 2
    assert counts["QLinearConv"] == 3
    # The last one is read by nobody in integers: it stays the float operator that it was.
    assert [n.op for n in result.model.nodes].count("HardSwish") == 1
    assert result.fidelity["y"].sqnr > 25
    # Every float HardSwish is 0 below -3, so codes below would be wasted.
    assert all(result.plan.activations[f"c{i}"].low == -3.0 for i in range(3))


def test_users_may_keep_one_float():
    random = np.random.default_rng(0)
    samples = [{"x": random.normal(0, 1, (1, 16, 9, 9)).astype(np.float32)} for _ in range(4)]
    config = onnxq.Config(skip=["act1"], effort="quick")
    result = onnxq.quantize(_chain(random), calibration=samples, config=config, verify=False)
    assert [n.name for n in result.model.nodes if n.op == "HardSwish"] == ["act1", "act2"]


def _chain(random: np.random.Generator):
    """Three times Conv and HardSwish."""
    nodes, weights, current = [], [], "x"
    for index in range(3):
        weight = random.normal(0, 0.3, (16, 16, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(
            helper.make_node("Conv", [current, f"w{index}"], [f"c{index}"], f"conv{index}")
        )
        current = "y" if index == 2 else f"h{index}"
        nodes.append(helper.make_node("HardSwish", [f"c{index}"], [current], f"act{index}"))
    shape = ["batch", 16, 9, 9]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
