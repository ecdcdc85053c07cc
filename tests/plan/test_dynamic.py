"""Which products find the range of their data in each run, and how they mix with the others."""

from __future__ import annotations

import re

import numpy as np
import pytest

from onnxq.plan import WEIGHTS_ONLY, Absorbed, Bias, Float, Integer, Plan, Use, Weight
from onnxq.quant import PerChannel, PerTensor
from onnxq.targets import target_names

TOKENS, OUT = "float[2,5,16] x", "float[2,5,16] y"
DYNAMIC = {"activations": {"dynamic": True}}
SQUARE = (16, 16)


def only(*names: str) -> dict[str, object]:
    return {"overrides": [{"match": name, **DYNAMIC} for name in names]}


def static(*names: str) -> dict[str, object]:
    rule = {"activations": {"dynamic": False}}
    return {**DYNAMIC, "overrides": [{"match": name, **rule} for name in names]}


def test_a_dynamic_plan_has_no_activations(model_of, plan_of):
    body = "[m] a = MatMul(x, w) [b] c = Add(a, k) [r] d = Relu(c) [m2] y = MatMul(d, w2)"
    proto = model_of(TOKENS, OUT, body, {"w": SQUARE, "k": (16,), "w2": SQUARE}, 11)
    plan = plan_of(proto, **DYNAMIC)
    assert not plan.activations
    assert plan.opset == 11
    assert plan.nodes == {
        "m": Integer("dynamic", "c", ("b",)),
        "b": Absorbed("m"),
        "r": Float("the node before it finds its ranges at run time and writes float"),
        "m2": Integer("dynamic", "y"),
    }
    assert list(plan.operands) == [Use("m", 1), Use("m2", 1)], "biases stay float"
    assert plan.found_at_run_time == (Use("m", 0), Use("m2", 0))
    assert plan.quantizations == (Use("m", 1), Use("m2", 1), Use("m", 0), Use("m2", 0))


def test_a_gemm_keeps_its_bias_and_the_axis_of_its_channels(model_of, plan_of):
    body = "[g] y = Gemm<transB=1>(x, w, b)"
    proto = model_of("float[5,16] x", "float[5,8] y", body, {"w": (8, 16), "b": (8,)})
    plan = plan_of(proto, **DYNAMIC)
    assert plan.nodes["g"] == Integer("dynamic", "y")
    [weight] = plan.operands.values()
    assert isinstance(weight, Weight)
    assert weight.scheme.granularity == PerChannel(0)


@pytest.mark.parametrize(
    ("weights", "bits", "granularity"),
    [({"bits": 4}, 4, PerChannel(1)), ({"granularity": "tensor"}, 8, PerTensor())],
)
def test_weights_are_stored_in_bytes(weights, bits, granularity, model_of, plan_of):
    proto = model_of(TOKENS, OUT, "[m] y = MatMul(x, w)", {"w": SQUARE})
    [weight] = plan_of(proto, weights=weights, **DYNAMIC).operands.values()
    assert isinstance(weight, Weight)
    assert (weight.scheme.qtype.bits, weight.scheme.qtype.storage) == (bits, np.int8)
    assert weight.scheme.granularity == granularity


def test_weights_in_blocks_leave_their_data_float(model_of, plan_of):
    weights = {"granularity": {"block": 16}}
    proto = model_of(TOKENS, OUT, "[m] y = MatMul(x, w)", {"w": SQUARE}, 21)
    assert plan_of(proto, weights=weights, **DYNAMIC).nodes["m"] == Integer(WEIGHTS_ONLY, "y")
    rows = model_of("float[5,16] x", "float[5,16] y", "[g] y = Gemm(x, w)", {"w": SQUARE}, 21)
    plan = plan_of(rows, weights=weights, **DYNAMIC)
    assert plan.nodes["g"] == Integer("dynamic", "y"), "a Gemm takes no blocks"
    assert plan.operands[Use("g", 1)].scheme.granularity == PerChannel(1)


CONV = "[n] y = Conv<kernel_shape=[1,1]>(x, w)"
IMAGE = ("float[1,16,4,4] x", "float[1,16,4,4] y", CONV, {"w": (16, 16, 1, 1)})
PRODUCT = (TOKENS, OUT, "[n] y = MatMul(x, w)", {"w": SQUARE})
RAISED = (TOKENS, "float[1,2,5,16] y", "[n] a = MatMul(x, w) y = Add(a, k)")
REFUSED = {
    "conv": (IMAGE, {}, "its kernel for ranges found at run time is .* slower than float"),
    "16-bit": (
        PRODUCT,
        {"activations": {"bits": 16}},
        "unsigned with 8 bits, not unsigned with 16",
    ),
    "signed": (PRODUCT, {"activations": {"signed": True}}, "with 8 bits, not signed with 8"),
    "symmetric": (PRODUCT, {"activations": {"symmetric": True}}, "know no symmetric"),
    "power": (PRODUCT, {"activations": {"power_of_two": True}}, "know no power_of_two"),
    "half": (PRODUCT, {"activations": {"scales": "float16"}}, "are float32, not float16"),
    "weight": (PRODUCT, {"weights": {"bits": 16}}, "has 16 bits, an integer product takes 8"),
    "rank": (
        (*RAISED, {"w": SQUARE, "k": (1, 1, 1, 16)}),
        {},
        "'k', which is added to its result, may have more axes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_stays_float(case, model_of, plan_of):
    parts, config, wanted = REFUSED[case]
    activations = {"dynamic": True, **config.get("activations", {})}
    plan = plan_of(model_of(*parts), **{**config, "activations": activations})
    decision = plan.nodes["n"]
    assert isinstance(decision, Float)
    assert re.search(wanted, decision.reason)
    assert not plan.operands


def test_half_precision_stays_float(model_of, plan_of):
    half = np.ones(SQUARE, np.float16)
    proto = model_of("float16[5,16] x", "float16[5,16] y", "[n] y = MatMul(x, w)", {"w": half})
    decision = plan_of(proto, **DYNAMIC).nodes["n"]
    assert decision == Float("its weight 'w' is float16; only float32 is quantized")


@pytest.mark.parametrize("target", sorted({*target_names()} - {"ort-cpu", "ort-cpu-avx2"}))
def test_other_engines_do_not_find_ranges_at_run_time(target, model_of, plan_of):
    plan = plan_of(model_of(*PRODUCT), target, **DYNAMIC)
    assert plan.nodes["n"] == Float(f"{target} finds ranges at run time for no operator")


def test_operators_that_always_have_fixed_ranges_stay_float(model_of, plan_of):
    proto = model_of(TOKENS, OUT, "[n] y = Add(x, x)")
    assert plan_of(proto, "qnn").nodes["n"] == Integer("arithmetic", "y")
    refused = Float("qnn finds ranges at run time for no operator")
    assert plan_of(proto, "qnn", **DYNAMIC).nodes["n"] == refused


BESIDE = "[m1] y = MatMul(x, w) [m2] z = MatMul(x, w2)"


def test_float_data_of_static_neighbours_is_read_in_float(model_of, plan_of):
    proto = model_of(TOKENS, f"{OUT}, float[2,5,16] z", BESIDE, {"w": SQUARE, "w2": SQUARE})
    plan = plan_of(proto, **only("m2"))
    assert (plan.nodes["m1"], plan.nodes["m2"]) == (
        Integer("compute", "y"),
        Integer("dynamic", "z"),
    )
    assert list(plan.activations) == ["x"]
    assert not plan.activations["x"].everyone


def test_codes_made_for_everyone_are_taken_instead(model_of, plan_of):
    body = f"[m] a = MatMul(x, w) {BESIDE.replace('(x', '(a')}"
    weights = {"w": SQUARE, "w2": SQUARE}
    proto = model_of(TOKENS, f"{OUT}, float[2,5,16] z", body, weights)
    plan = plan_of(proto, **only("m2"))
    assert plan.activations["a"].everyone
    assert plan.nodes["m2"] == Integer("compute", "z")
    assert not plan.found_at_run_time


def test_a_static_product_writes_float_for_a_dynamic_one(model_of, plan_of):
    body = "[m1] a = MatMul(x, w) [m2] y = MatMul(a, w2)"
    proto = model_of(TOKENS, OUT, body, {"w": SQUARE, "w2": SQUARE})
    plan = plan_of(proto, **only("m2"))
    assert list(plan.activations) == ["x"]
    assert plan.found_at_run_time == (Use("m2", 0),)
    assert list(plan_of(proto, **static("m2")).activations) == ["a"]


def test_one_taken_in_by_codes_makes_its_neighbours_codes_too(model_of, plan_of):
    body = (
        "[m] a = MatMul(x, w) [s] y = MatMul(a, w) [d] b = MatMul(a, w2)"
        "[r] c = Reshape(b, shape) [e] z = MatMul(c, w2)"
    )
    weights = {"w": SQUARE, "w2": SQUARE, "shape": np.array([10, 16])}
    proto = model_of(TOKENS, f"{OUT}, float[10,16] z", body, weights)
    plan = plan_of(proto, **only("d"))
    assert plan.nodes["d"].role == "compute"
    assert plan.nodes["r"].role == "same-scale"


def test_a_dynamic_neighbour_takes_no_bias_of_fixed_scale(model_of, plan_of):
    body = "[m1] a = MatMul(x, w) [b1] y = Add(a, k) [m2] c = MatMul(x, w) [b2] z = Add(c, k)"
    proto = model_of(TOKENS, f"{OUT}, float[2,5,16] z", body, {"w": SQUARE, "k": (16,)})
    plan = plan_of(proto, **only("m2"))
    assert [u for u, o in plan.operands.items() if isinstance(o, Bias)] == [Use("b1", 1)]


def test_a_mixed_plan_survives_json(model_of, plan_of):
    proto = model_of(TOKENS, f"{OUT}, float[2,5,16] z", BESIDE, {"w": SQUARE, "w2": SQUARE})
    plan = plan_of(proto, **only("m2"))
    assert Plan.from_dict(plan.to_dict()) == plan
    assert plan.opset == 13


def test_overrides_change_single_fields(model_of, plan_of):
    proto = model_of(TOKENS, OUT, "[m] y = MatMul(x, w)", {"w": SQUARE})
    rules = [{"match": "m", **DYNAMIC}, {"match": "m", "activations": {"symmetric": False}}]
    assert plan_of(proto, overrides=rules).nodes["m"] == Integer("dynamic", "y")
    rules.append({"match": "m", "activations": {"dynamic": False}})
    assert plan_of(proto, overrides=rules).nodes["m"] == Integer("compute", "y")
