"""A small convolutional network, and samples for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import onnxq.rules.simplify as joint
from onnxq.passes import Applied
from onnxq.rules import Rule
from onnxq.workflow import exact_row

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"


@pytest.fixture(scope="session")
def model_of() -> Callable[..., onnx.ModelProto]:
    """A model from text; weights are drawn by shape, or given as arrays."""

    def build(inputs, outputs, body, weights=None, opset=17):
        proto = parse_model(
            f'<ir_version: {8 if opset > 10 else 4}, opset_import: ["": {opset}]>'
            f"g ({inputs}) => ({outputs}) {{ {body} }}"
        )
        generator = np.random.default_rng(0)
        for name, wanted in (weights or {}).items():
            value = wanted
            if isinstance(wanted, tuple):
                fan_in = max(1, int(np.prod(wanted[1:])))
                value = (generator.standard_normal(wanted) / np.sqrt(fan_in)).astype(np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return proto

    return build


@pytest.fixture(scope="session")
def network(model_of) -> onnx.ModelProto:
    """Two convolutions and a Relu: 1 x 4 x 8 x 8 to 1 x 4 x 8 x 8."""
    return model_of(
        "float[1,4,8,8] x",
        "float[1,4,8,8] y",
        f"[c1] a = {CONV}(x, w1, b1) [r] b = Relu(a) [c2] y = {CONV}(b, w2, b2)",
        {"w1": (4, 4, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "b2": (4,)},
    )


@pytest.fixture(scope="session")
def samples() -> list[dict[str, np.ndarray]]:
    """Ten samples for `network`."""
    generator = np.random.default_rng(1)
    return [{"x": generator.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(10)]


@pytest.fixture(scope="session")
def respelling() -> Callable[..., Rule]:
    """A rule of a given name that turns every node of one operator into another operator."""

    def build(name, operator, becomes, **attrs):
        def rewrite(self, work, node):
            work.change(node, becomes, **attrs)
            return Applied(node.name, f"became {becomes}")

        return type(name, (Rule,), {"operators": frozenset({operator}), "rewrite": rewrite})()

    return build


@pytest.fixture
def rules(monkeypatch) -> Callable[..., None]:
    """Let these be all rules there are."""

    def put(*chosen):
        for module in (joint, exact_row):
            monkeypatch.setattr(module, "PHASES", (chosen,))

    return put
