"""What applies to every layer, and which entry decided."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Config, parse_config
from onnxq.graph import load
from onnxq.plan import explain, make_plan
from onnxq.targets import load_target

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
chain (float[1,4,8,8] image) => (float[1,4,8,8] out) {
    [first] a = Conv (image, V)
    [relu] b = Relu (a)
    [second] out = Conv (b, W)
}
"""


@pytest.fixture
def facts():
    proto = parse_model(_MODEL)
    for name in ("V", "W"):
        weight = np.ones((4, 4, 1, 1), np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    model, target = load(proto), load_target("ort-cpu")

    def found(values: dict[str, object]) -> dict[tuple[str, str], tuple[str, str]]:
        config: Config = parse_config(values)
        plan = make_plan(model, target, config)
        return {(f.layer, f.aspect): (f.value, f.key) for f in explain(model, plan, target, config)}

    return found


def test_defaults_have_no_entry(facts):
    assert {key for _, key in facts({}).values()} == {""}


def test_the_last_entry_that_says_something_decides(facts):
    found = facts(
        {
            "weights": {"bits": 8},
            "first_layer": {"weights": {"bits": 4}},
            "overrides": [
                {"match": {"op_type": "Conv"}, "weights": {"granularity": "tensor"}},
                {"match": "second", "weights": {"bits": 16}},
            ],
        }
    )
    assert found["first", "weights"] == ("int4 symmetric", "overrides[0]")
    assert found["second", "weights"] == ("int16 symmetric", "overrides[1]")


def test_whoever_ends_a_group_decides_what_it_writes(facts):
    found = facts(
        {
            "overrides": [
                {"match": "first", "activations": {"bits": 4}},
                {"match": "relu", "activations": {"range": [None, 3.0]}},
                {"match": "image", "activations": {"range": [-1.0, 1.0]}},
            ]
        }
    )
    assert found["first", "reads"] == ("image as uint8 affine, from -1 to 1", "overrides[2]")
    assert found["first", "writes"] == ("b as uint8 affine, from calibrated to 3", "overrides[1]")
    assert found["second", "reads"] == found["first", "writes"]


def test_layers_that_stay_float(facts):
    found = facts({"skip": ["first"], "overrides": [{"match": "second", "keep_float": True}]})
    assert found["first", "stays float"] == ("excluded by skip[0]", "skip[0]")
    assert found["second", "stays float"][1] == "overrides[0]"


def test_what_is_pruned(facts):
    found = facts(
        {
            "prune": {
                "rules": [
                    {"match": {"op_type": "Conv"}, "ratio": 0.5},
                    {"match": "first", "ratio": 0.25, "round_to": 4},
                ],
                "skip": ["second"],
            },
            "sparsify": {"pattern": "2:4", "skip": ["first"]},
        }
    )
    assert found["first", "prune"] == (
        "0.25 of the channels go, in multiples of 4",
        "prune.rules[1]",
    )
    assert found["second", "prune"] == ("keeps all channels", "prune.skip[0]")
    assert found["first", "sparsify"] == ("dense", "sparsify.skip[0]")
    assert found["second", "sparsify"] == ("2:4", "sparsify.pattern")
