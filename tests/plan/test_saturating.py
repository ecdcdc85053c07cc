"""Intervals outside which nobody tells values apart: clipping to them changes no output."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.plan.saturating import saturation

_HEAD = """<ir_version: 8, opset_import: ["" : 17]>
g (float[2,4,3,3] x) => (float[2,4,3,3] y)
<float three = {3.0}, float zero = {0.0}, float six = {6.0}, float two = {2.0},
 float sixth = {0.16666667}, float minus = {-1.0}, float[4,1,1] each = {1.0, 2.0, 3.0, 4.0}> """

_CASES = {
    "{ t = Abs(x) y = Relu(t) }": (0.0, inf),
    "{ t = Neg(x) y = HardSwish(t) }": (-3.0, inf),
    "{ t = Neg(x) y = HardSigmoid<alpha = 0.25, beta = 0.5>(t) }": (-2.0, 2.0),
    "{ t = Neg(x) y = Clip(t, minus, two) }": (-1.0, 2.0),
    "{ t = Neg(x) a = Add(three, t) y = Clip(a, zero, six) }": (-3.0, 3.0),
    "{ t = Neg(x) a = Mul(t, two) y = Clip(a, minus, six) }": (-0.5, 3.0),
    "{ t = Neg(x) a = Add(t, three) c = Clip(a, zero, six) b = Mul(c, sixth) y = Mul(t, b) }": (
        -3.0,
        inf,
    ),
    "{ t = Neg(x) b = HardSigmoid<alpha = 0.5>(t) y = Mul(b, t) }": (-1.0, inf),
    "{ t = Neg(x) a = Transpose(t) b = Transpose(a) y = Relu(b) }": (0.0, inf),
    "{ t = Neg(x) a = Relu(t) b = HardSwish(t) y = Add(a, b) }": (-3.0, inf),
    "{ t = Neg(x) a = Clip(t, minus, six) y = Clip(a, zero, two) }": (0.0, 2.0),
    "{ t = Neg(x) a = Relu(t) y = Clip(a, minus, two) }": (0.0, 2.0),
}


@pytest.mark.parametrize("body", _CASES)
def test_intervals(body, run_model):
    proto = parse_model(_HEAD + body)
    found = saturation(load(proto))
    np.testing.assert_allclose(found["t"], _CASES[body], rtol=1e-6)
    feed = {"x": np.random.default_rng(0).normal(0, 4, (2, 4, 3, 3)).astype(np.float32)}
    expected = run_model(proto, feed)["y"]
    for name, interval in found.items():
        clipped = run_model(_clipping(proto, name, interval), feed)["y"]
        np.testing.assert_array_equal(clipped, expected, err_msg=name)


@pytest.mark.parametrize(
    "body",
    [
        "{ t = Neg(x) y = Add(t, x) }",
        "{ t = Neg(x) a = Relu(t) y = Add(a, t) }",
        "{ t = Neg(x) a = Add(t, each) y = Relu(a) }",
        "{ t = Neg(x) a = Mul(t, minus) y = Relu(a) }",
        "{ t = Neg(x) a = Mul(t, t) y = Relu(a) }",
        "{ t = Neg(x) a = Add(t, three) c = Clip(a, zero, six) y = Mul(x, c) z = Abs(t) "
        "y2 = Add(y, z) }",
    ],
)
def test_what_others_can_still_tell(body):
    assert "t" not in saturation(load(parse_model(_HEAD + body.replace("y2", "w"))))


def test_outputs_of_the_model_are_seen_by_its_callers():
    body = "{ y = Neg(x) z = Relu(y) }"
    assert "y" not in saturation(load(parse_model(_HEAD + body)))


def _clipping(proto, name, interval):
    """The model with a tensor clipped to an interval."""
    clipped = type(proto)()
    clipped.CopyFrom(proto)
    graph = clipped.graph
    for end, value in zip(("low", "high"), interval, strict=True):
        bound = np.float32(np.clip(value, -3e38, 3e38))
        graph.initializer.append(numpy_helper.from_array(np.asarray(bound), f"{name}_{end}"))
    for node in graph.node:
        for i, read in enumerate(node.input):
            if read == name:
                node.input[i] = f"{name}_clipped"
    place = next((i + 1 for i, n in enumerate(graph.node) if name in n.output), 0)
    clip = helper.make_node("Clip", [name, f"{name}_low", f"{name}_high"], [f"{name}_clipped"])
    graph.node.insert(place, clip)
    return clipped
