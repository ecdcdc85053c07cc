"""Selectors, overrides and their order."""

from __future__ import annotations

import pytest

from onnxq.errors import ConfigError
from onnxq.plan import Bias, Float, Integer
from onnxq.quant import PerBlock, PerChannel, PerTensor

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"


@pytest.fixture
def plan(model_of, plan_of):
    """The plan of three convolutions, the second followed by a Relu, under a configuration."""
    kernels = dict.fromkeys(("w1", "w2", "w3"), (4, 4, 3, 3))
    proto = model_of(
        "float[1,4,8,8] x",
        "float[1,4,8,8] y",
        f"[head/c1] a = {CONV}(x, w1, b1) [body/c2] b = {CONV}(a, w2, b1) [body/r] d = Relu(b)"
        f"[tail/c3] y = {CONV}(d, w3, b1)".replace("head/", "head_")
        .replace("body/", "body_")
        .replace("tail/", "tail_"),
        {**kernels, "b1": (4,)},
    )
    return lambda **config: plan_of(proto, **config)


def floats(plan):
    return [name for name, d in plan.nodes.items() if isinstance(d, Float)]


def weight_bits(plan):
    return {
        o.tensor: o.scheme.qtype.bits for o in plan.operands.values() if not isinstance(o, Bias)
    }


SELECTED = {
    "name": ("body_c2", ["body_c2", "body_r"]),
    "tensor": ("b", ["body_c2", "body_r"]),
    "explicit-name": ({"name": "head_c1"}, ["head_c1"]),
    "glob": ({"glob": "*_c[13]"}, ["head_c1", "tail_c3"]),
    "regex": ({"regex": "^(head|tail)"}, ["head_c1", "tail_c3"]),
    "type": ({"op_type": "Conv"}, ["head_c1", "body_c2", "body_r", "tail_c3"]),
    "relu": ({"op_type": "Relu"}, ["body_r"]),
}


@pytest.mark.parametrize("name", SELECTED)
def test_skip(name, plan):
    selector, expected = SELECTED[name]
    found = plan(skip=[selector])
    assert floats(found) == expected
    for node in floats(found):
        if node != "body_r" or name == "relu":
            assert found.nodes[node] == Float("excluded by skip[0]")


@pytest.mark.parametrize("where", ["skip", "overrides"])
@pytest.mark.parametrize(
    "selector", ["nothing", {"glob": "none*"}, {"regex": "^c1"}, {"op_type": "conv"}]
)
def test_a_selector_without_a_match_is_an_error(where, selector, plan):
    rule = selector if where == "skip" else {"match": selector}
    with pytest.raises(
        ConfigError, match=rf"matches no node.*{where}\[1\]|{where}\[1\].*matches no"
    ):
        plan(**{where: ["head_c1" if where == "skip" else {"match": "head_c1"}, rule]})


def test_keep_float_says_who_asked(plan):
    found = plan(
        overrides=[{"match": "head_c1", "keep_float": True}], last_layer={"keep_float": True}
    )
    assert found.nodes["head_c1"] == Float("kept float by overrides[0]")
    assert found.nodes["tail_c3"] == Float("kept float by last_layer")


def test_later_overrides_win_field_by_field(plan):
    found = plan(
        weights={"bits": 7},
        first_layer={"weights": {"bits": 5}},
        overrides=[
            {"match": {"op_type": "Conv"}, "weights": {"bits": 6, "granularity": "tensor"}},
            {"match": "body_c2", "weights": {"bits": 4}},
        ],
    )
    assert weight_bits(found) == {"w1": 6, "w2": 4, "w3": 6}
    assert {o.scheme.granularity for o in found.operands.values() if not isinstance(o, Bias)} == {
        PerTensor()
    }


def test_first_and_last_layer(plan):
    found = plan(first_layer={"weights": {"bits": 6}}, last_layer={"bias": "float"})
    assert weight_bits(found) == {"w1": 6, "w2": 8, "w3": 8}
    assert [o.weight.node for o in found.operands.values() if isinstance(o, Bias)] == [
        "head_c1",
        "body_c2",
    ]


def test_keep_float_can_be_taken_back_but_skip_stands(plan):
    back = [
        {"match": {"op_type": "Conv"}, "keep_float": True},
        {"match": "body_c2", "keep_float": False},
    ]
    found = plan(overrides=back)
    assert floats(found) == ["head_c1", "tail_c3"]
    assert "body_c2" in floats(plan(overrides=back, skip=["body_c2"]))


def test_the_format_of_a_layer_is_that_of_the_tensor_its_group_writes(plan):
    found = plan(overrides=[{"match": "body_c2", "activations": {"bits": 7}}])
    assert {n: a.scheme.qtype.bits for n, a in found.activations.items()} == {
        "x": 8,
        "a": 8,
        "d": 7,
        "y": 8,
    }
    both = plan(
        overrides=[
            {"match": "body_c2", "activations": {"bits": 7}},
            {"match": "body_r", "activations": {"bits": 16}},
        ]
    )
    assert both.activations["d"].scheme.qtype.bits == 16


def test_a_format_that_cannot_end_at_zero_leaves_the_relu_outside(plan):
    found = plan(overrides=[{"match": "body_c2", "activations": {"symmetric": True}}])
    assert found.nodes["body_c2"] == Integer("compute", "b")
    assert found.nodes["body_r"] == Float(
        "codes that are symmetric around zero reach beyond its bounds"
    )


@pytest.mark.parametrize(
    ("wish", "granularity"),
    [("tensor", PerTensor()), ("channel", PerChannel(0)), ({"block": 32}, PerChannel(0))],
)
def test_a_granularity_is_no_finer_than_the_engine_takes(wish, granularity, plan):
    found = plan(weights={"granularity": wish})
    assert {o.scheme.granularity for o in found.operands.values() if not isinstance(o, Bias)} == {
        granularity
    }


def test_blocks_lie_along_the_reduced_axis(model_of, plan_of):
    proto = model_of("float[4,64] x", "float[4,8] y", "[m] y = MatMul(x, w)", {"w": (64, 8)}, 21)
    (weight,) = plan_of(proto, weights={"granularity": {"block": 32}}).operands.values()
    assert weight.scheme.granularity == PerBlock(0, 32)


@pytest.mark.parametrize(
    ("config", "opset"),
    [
        ({}, 13),
        ({"weights": {"bits": 4}}, 21),
        ({"weights": {"bits": 16}}, 21),
        ({"activations": {"bits": 16}}, 21),
        ({"activations": {"bits": 4}}, 13),
        ({"skip": [{"op_type": "Conv"}]}, 0),
    ],
)
def test_the_operator_set_that_a_plan_needs(config, opset, plan):
    assert plan(**config).opset == opset
