"""Ranges that the user names instead of calibrated ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.calibration import activation_parameters
from onnxq.config import parse_config
from onnxq.errors import ConfigError
from onnxq.graph import load
from onnxq.plan import Plan, make_plan
from onnxq.targets import load_target

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
chain (float[1,4,8,8] image) => (float[1,4,4,4] out) {
    [first] a = Conv (image, V)
    [relu] b = Relu (a)
    [pool] c = MaxPool <kernel_shape = [2,2], strides = [2,2]> (b)
    [second] out = Conv (c, W)
}
"""
SEEN = {
    "image": (-9.0, 9.0),
    "a": (-9.0, 9.0),
    "b": (-9.0, 9.0),
    "c": (-9.0, 9.0),
    "out": (-9.0, 9.0),
}


def plan(*overrides: tuple[str, list[float | None]]) -> Plan:
    proto = parse_model(_MODEL)
    for name in ("V", "W"):
        weight = np.ones((4, 4, 1, 1), np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    rules = [{"match": name, "activations": {"range": ends}} for name, ends in overrides]
    return make_plan(load(proto), load_target("ort-cpu"), parse_config({"overrides": rules}))


def scales(found: Plan) -> dict[str, tuple[float, int]]:
    seen = {name: SEEN[name] for name in found.activations}
    made = activation_parameters(found, seen)
    return {name: (float(p.scale), int(p.zero_point)) for name, p in made.items()}


def test_a_range_takes_the_place_of_the_calibrated_one():
    scale, zero = scales(plan(("image", [-1.0, 3.0])))["image"]
    np.testing.assert_allclose(scale, 4 / 255, rtol=1e-6)
    assert zero == round(255 / 4)


def test_it_may_be_wider_than_what_was_seen():
    np.testing.assert_allclose(
        scales(plan(("image", [-20.0, 20.0])))["image"][0], 40 / 255, rtol=1e-6
    )


def test_null_leaves_an_end_to_calibration():
    assert scales(plan(("image", [0.0, None])))["image"] == pytest.approx((9 / 255, 0), rel=1e-6)
    np.testing.assert_allclose(
        scales(plan(("image", [None, 1.0])))["image"][0], 10 / 255, rtol=1e-6
    )


def test_a_relu_still_cuts_it_off():
    both = plan(("b", [-6.0, 6.0]), ("c", [0.0, 6.0]))
    assert scales(both)["b"] == scales(both)["c"] == pytest.approx((6 / 255, 0), rel=1e-6)


def test_a_name_of_an_input_is_about_the_input_alone():
    """Else what the first layer writes would get the range of what it reads."""
    found = plan(("image", [-1.0, 1.0]))
    given = {name: a.given for name, a in found.activations.items()}
    assert given["image"] == (-1.0, 1.0)
    assert all(ends is None for name, ends in given.items() if name != "image")


def test_plans_keep_it():
    made = plan(("image", [-1.0, None]))
    assert Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize("ends", [[1.0, 2.0], [-2.0, -1.0], [0.0, 0.0]])
def test_zero_must_lie_within(ends):
    with pytest.raises(ConfigError, match="is not a range around zero"):
        plan(("image", ends))


def plan_of(*rules: dict[str, object]) -> Plan:
    proto = parse_model(_MODEL)
    for name in ("V", "W"):
        weight = np.ones((4, 4, 1, 1), np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    config = parse_config({"overrides": list(rules)})
    return make_plan(load(proto), load_target("ort-cpu"), config)


def test_a_layer_may_say_how_what_it_reads_is_stored():
    found = plan_of({"match": "first", "reads": {"bits": 4, "range": [-1.0, 1.0]}})
    stored = {name: (a.scheme.qtype.bits, a.given) for name, a in found.activations.items()}
    assert stored == {"image": (4, (-1.0, 1.0)), "b": (8, None), "c": (8, None), "out": (8, None)}


def test_codes_that_are_only_moved_have_the_format_of_their_reader():
    found = plan_of({"match": "second", "reads": {"bits": 4, "range": [0.0, 6.0]}})
    assert {found.activations[name].scheme.qtype.bits for name in ("b", "c")} == {4}
    assert scales(found)["b"] == scales(found)["c"] == pytest.approx((6 / 15, 0), rel=1e-6)


def test_a_reader_counts_more_than_the_writer():
    found = plan_of(
        {"match": "relu", "activations": {"bits": 5}}, {"match": "pool", "reads": {"bits": 6}}
    )
    assert found.activations["b"].scheme.qtype.bits == 6


def test_a_relu_that_codes_would_overshoot_stays_outside():
    """The reader's format decides whether the engine can leave the Relu out."""
    symmetric = plan_of({"match": "pool", "reads": {"symmetric": True, "signed": True}})
    assert "a" in symmetric.activations and "a" not in plan_of().activations
