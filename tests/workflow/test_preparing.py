"""What is prepared computes the same, and has the layers that the configuration names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Config
from onnxq.errors import PreconditionError
from onnxq.graph import Model, load
from onnxq.targets import load_target
from onnxq.workflow import quantize
from onnxq.workflow.preparing import make_ready, upgrade

# Scan 8 has a batch axis and an input that Scan 9 lacks; onnx leaves the node as it is.
_SCAN = """<ir_version: 7, opset_import: ["": 8]>
  g (float[1, 2] start, float[1, 3, 2] x) => (float[1, 2] sum, float[1, 3, 2] y) {
    sum, y = Scan <num_scan_inputs = 1, body = b (float[2] before, float[2] next)
      => (float[2] after, float[2] copy) {
        after = Add(before, next)
        copy = Identity(after) }> ("", start, x)
  }"""


def test_withdrawn_conversion_is_a_refusal():
    model = load(parse_model(_SCAN))
    with pytest.raises(PreconditionError, match="operator set 8 to 13; the conversion was withdr"):
        upgrade(model, 13, None, Config(), load_target("ort-cpu"))
    assert model.opset == 8


_PAIR = """<ir_version: 8, opset_import: ["": 17]>
  g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) {
    [one] a = Conv (x, U)
    [two] b = Conv (a, V)
    [relu] c = Relu (b)
    [three] y = Conv (c, W)
  }"""


@pytest.fixture(scope="module")
def pair() -> Model:
    proto = parse_model(_PAIR)
    generator = np.random.default_rng(0)
    for name in ("U", "V", "W"):
        value = generator.normal(size=(8, 8, 1, 1)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return load(proto)


@pytest.mark.parametrize(
    ("said", "layers"),
    [
        ({}, ["two", "three"]),
        ({"overrides": ({"match": "one", "weights": {"bits": 4}},)}, ["one", "two", "three"]),
        ({"overrides": ({"match": "a", "activations": {"bits": 6}},)}, ["one", "two", "three"]),
        ({"skip": ("one",)}, ["one", "two", "three"]),
        ({"finetune": {"rules": ({"match": "one", "weights": "ste"},)}}, ["one", "two", "three"]),
        ({"skip": ("three",)}, ["two", "three"]),
        ({"skip": ({"op_type": "Conv"},)}, ["two", "three"]),
    ],
)
def test_layers_that_are_named_are_not_merged(
    pair: Model, said: dict[str, Any], layers: list[str]
) -> None:
    config = Config(effort="none", **said)
    found = make_ready(pair, load_target("ort-cpu"), config, None)
    assert [node.name for node in found.model.nodes if node.op == "Conv"] == layers
    told = [report.withdrawn for report in found.reports if report.name == "MergeConvolutions"]
    merges = "it merged 'one', which the configuration names"
    assert set(told) == ({merges} if len(layers) == 3 else set())


def test_a_named_layer_is_stored_as_it_is_told(pair: Model) -> None:
    data = np.random.default_rng(1).normal(size=(8, 8, 6, 6)).astype(np.float32)
    config = Config(effort="none", overrides=({"match": "one", "weights": {"bits": 4}},))
    made = quantize(pair, calibration=data, config=config, verify=False)
    stored = {
        n.name: str(n.inputs[1].inputs[0].inputs[0].stored.dtype)
        for n in made.model.nodes
        if n.op == "Conv"
    }
    assert stored == {"one": "int4", "two": "int8", "three": "int8"}
