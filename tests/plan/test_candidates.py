"""Why a node stays float, and which constants are fit to be stored in integers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxq.plan import Bias, Float, Integer, Weight

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
IMAGE, OUT = "float[1,4,8,8] x", "float[1,4,8,8] y"
KERNEL = (4, 4, 3, 3)
NAN = np.full(KERNEL, np.nan, np.float32)


def reason(plan, node):
    decision = plan.nodes[node]
    assert isinstance(decision, Float), decision
    return decision.reason


def chain(middle, **weights):
    """A model of two convolutions with something between them."""
    body = f"[c1] a = {CONV}(x, w1) {middle} [c2] y = {CONV}(b, w2)"
    return IMAGE, OUT, body, {"w1": KERNEL, "w2": KERNEL, **weights}


# name: (model, node, reason)
CASES = {
    "no-rule": (chain("[n] b = Erf(a)"), "n", "ort-cpu has no integer form of Erf"),
    "never": (chain("[n] b = Tanh(a)"), "n", "never runs in integers .*1.8 times slower"),
    "transA": (
        ("float[8,4] x", "float[4,3] y", "[n] y = Gemm<transA=1>(x, w)", {"w": (8, 3)}),
        "n",
        "runs in integers only with transA = 0, here 1",
    ),
    "alpha": (
        ("float[4,8] x", "float[4,3] y", "[n] y = Gemm<alpha=0.5>(x, w)", {"w": (8, 3)}),
        "n",
        "runs in integers only with alpha = 1, here 0.5",
    ),
    "forbidden-attribute": (
        chain("[n] b = AveragePool<kernel_shape=[1,1], dilations=[1,1]>(a)"),
        "n",
        "runs in integers only without the attribute dilations",
    ),
    "dynamic-weight": (
        ("float[4,8] x, float[8,3] w", "float[4,3] y", "[n] y = MatMul(x, w)"),
        "n",
        "its weight 'w' is computed at run time",
    ),
    "overridable-weight": (
        ("float[4,8] x, float[8,3] w", "float[4,3] y", "[n] y = MatMul(x, w)", {"w": (8, 3)}),
        "n",
        "its weight 'w' is a graph input and may change at run time",
    ),
    "nan-weight": (
        (IMAGE, OUT, f"[n] y = {CONV}(x, w)", {"w": NAN}),
        "n",
        "its weight 'w' contains NaN or infinity",
    ),
    "empty-weight": (
        ("float[4,0] x", "float[4,3] y", "[n] y = MatMul(x, w)", {"w": (0, 3)}),
        "n",
        "its weight 'w' is empty",
    ),
    "vector-weight": (
        ("float[4,8] x", "float[4] y", "[n] y = MatMul(x, w)", {"w": (8,)}),
        "n",
        "its weight 'w' has rank 1",
    ),
    "batched-weight": (
        ("float[2,4,8] x", "float[2,4,3] y", "[n] y = MatMul(x, w)", {"w": (2, 8, 3)}),
        "n",
        "its weight is batched",
    ),
    "half-precision": (
        (
            "float16[4,8] x",
            "float16[4,3] y",
            "[n] y = MatMul(x, w)",
            {"w": np.zeros((8, 3), np.float16)},
        ),
        "n",
        "its weight 'w' is float16; only float32 is quantized",
    ),
    "double": (
        chain("[d] p = Cast<to=11>(a) [n] q = Mul(p, p) [e] b = Cast<to=1>(q)"),
        "n",
        "'p' is float64; only float32 is quantized",
    ),
    "second-output": (
        (
            IMAGE,
            "float[1,4,8,8] y, int64[1,4,8,8] i",
            f"[c1] a = {CONV}(x, w1)"
            "[n] b, i = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(a)"
            f"[c2] y = {CONV}(b, w1)",
            {"w1": KERNEL},
        ),
        "n",
        "its second output is used",
    ),
    "clip-above-zero": (
        chain("[n] b = Clip(a, lo)", lo=np.full((), 0.5, np.float32)),
        "n",
        "its bounds are unknown or exclude zero",
    ),
    "clip-unknown": (
        (
            f"{IMAGE}, float hi",
            OUT,
            f"[c1] a = {CONV}(x, w1) [n] b = Clip(a, , hi) [c2] y = {CONV}(b, w1)",
            {"w1": KERNEL},
        ),
        "n",
        "its bounds are unknown or exclude zero",
    ),
    "relu-alone": (
        chain("[t] p = Tanh(a) [n] b = Relu(p)"),
        "n",
        "runs in integers only as the end of Conv, Gemm, MatMul, Add",
    ),
    "infinite-operand": (
        chain("[n] b = Add(a, k)", k=np.full((1,), -np.inf, np.float32)),
        "n",
        "its operand 'k' contains NaN or infinity",
    ),
    "mask-operand": (
        chain("[n] b = Add(a, k)", k=np.full((1,), -3e38, np.float32)),
        "n",
        "its operand 'k' holds values near the largest float",
    ),
    "overridable-operand": (
        (
            f"{IMAGE}, float[1] k",
            OUT,
            f"[c1] a = {CONV}(x, w1) [n] b = Add(a, k) [c2] y = {CONV}(b, w1)",
            {"w1": KERNEL, "k": (1,)},
        ),
        "n",
        "its operand 'k' is a graph input and may change at run time",
    ),
    "float-input": (
        chain("[t] p = Tanh(x) [n] b = Add(a, p)"),
        "n",
        "its input 'p' is float",
    ),
    "nothing-before": (
        (IMAGE, OUT, f"[n] a = Sigmoid(x) [c1] y = {CONV}(a, w1)", {"w1": KERNEL}),
        "n",
        "no integer operator before it",
    ),
    "nothing-after": (
        (IMAGE, OUT, f"[c1] a = {CONV}(x, w1) [n] y = Sigmoid(a)", {"w1": KERNEL}),
        "n",
        "no integer operator after it",
    ),
    "table-columns": (
        ("int64[3] i", "float[8,3] y", "[n] y = Gather<axis=1>(t, i)", {"t": (8, 16)}),
        "n",
        "is not a look-up of rows in a matrix",
    ),
    "table-computed": (
        ("int64[3] i, float[8,16] t", "float[3,16] y", "[n] y = Gather(t, i)"),
        "n",
        "computed at run time; only constant tables",
    ),
    "table-of-integers": (
        (
            "int64[3] i",
            "int64[3,2] y",
            "[n] y = Gather(t, i)",
            {"t": np.zeros((8, 2), np.int64)},
        ),
        "n",
        "its table 't' is int64; only float32 is quantized",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reason(name, model_of, plan_of):
    model, node, expected = CASES[name]
    assert expected.split(" .*")[0] in reason(plan_of(model_of(*model)), node)


def test_another_domain(model_of, plan_of):
    proto = model_of(*chain("[n] b = mine.Conv(a)"), domain="mine")
    plan = plan_of(proto)
    assert reason(plan, "n") == "operator of domain 'mine' is unknown to target ort-cpu"
    assert isinstance(plan.nodes["c2"], Integer), "what it gives may be float32"


def test_attributes_that_the_integer_form_lacks(model_of, plan_of):
    pool = "AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], dilations=[1,1]>"
    plan = plan_of(model_of(*chain(f"[n] b = {pool}(a)"), 19))
    assert reason(plan, "n") == "runs in integers only without the attribute dilations"


def test_a_default_stands_for_a_missing_attribute(model_of, plan_of):
    plan = plan_of(model_of("float[4,8] x", "float[4,3] y", "[n] y = Gemm(x, w)", {"w": (8, 3)}))
    assert isinstance(plan.nodes["n"], Integer)


def test_a_bias_that_does_not_fit_stays_float(model_of, plan_of):
    weights = {"w": (8, 3), "b": (1,), "bad": np.array([0, np.inf, 0], np.float32)}
    for bias in ("b", "bad"):
        proto = model_of("float[4,8] x", "float[4,3] y", f"[n] y = Gemm(x, w, {bias})", weights)
        operands = plan_of(proto).operands
        assert [type(o) for o in operands.values()] == [Weight]


@pytest.mark.parametrize(
    ("shape", "added"), [((3,), True), ((1, 3), True), ((1,), False), ((4, 3), False)]
)
def test_a_vector_of_channels_is_a_bias(shape, added, model_of, plan_of):
    proto = model_of(
        "float[4,8] x",
        "float[4,3] y",
        "[m] t = MatMul(x, w) [a] y = Add(t, b)",
        {"w": (8, 3), "b": shape},
    )
    plan = plan_of(proto)
    assert plan.nodes["m"] == Integer("compute", *(("y", ("a",)) if added else ("t", ())))
    assert any(isinstance(o, Bias) for o in plan.operands.values()) == added


def test_an_add_that_is_to_stay_float_is_no_bias(model_of, plan_of):
    proto = model_of(
        "float[4,8] x",
        "float[4,3] y",
        "[m] t = MatMul(x, w) [a] y = Add(t, b)",
        {"w": (8, 3), "b": (3,)},
    )
    plan = plan_of(proto, skip=["a"])
    assert plan.nodes["a"] == Float("excluded by skip[0]")
    assert plan.nodes["m"] == Integer("compute", "t")


@pytest.mark.parametrize("tensor", ["x", "a"])
def test_an_unavailable_tensor_keeps_its_reason(tensor, model_of, plan_of):
    proto = model_of(*chain("[r] b = Relu(a)"))
    plan = plan_of(proto, unavailable={tensor: "calibration saw NaN"})
    assert reason(plan, "c1") == "calibration saw NaN"
    assert tensor not in plan.activations


def test_an_unavailable_end_of_a_group_leaves_relu_outside(model_of, plan_of):
    plan = plan_of(model_of(*chain("[r] b = Relu(a)")), unavailable={"b": "calibration saw NaN"})
    assert reason(plan, "r") == reason(plan, "c2") == "calibration saw NaN"
    assert plan.nodes["c1"] == Integer("compute", "a")


def test_blocks_of_weights_stay_beside_float_tensors(model_of, plan_of):
    config = {"overrides": [{"match": "m2", "weights": {"granularity": {"block": 16}}}]}
    weights = {"w1": (32, 32), "w2": (32, 32), "w3": (32, 32)}

    def nodes(body):
        return plan_of(
            model_of("float[4,32] x", "float[4,32] y", body, weights, 21), **config
        ).nodes

    free = nodes("[m1] a = MatMul(x, w1) [m2] y = MatMul(a, w2)")
    assert free["m2"] == Integer("weights-only", "y")
    read = nodes("[m2] a = MatMul(x, w2) [m3] y = MatMul(a, w3)")
    assert read["m2"] == Float("has its weight in blocks, but 'a' is quantized for others")
    table = "[g] e = Gather(w1, i) [m2] y = MatMul(e, w2)"
    plan = plan_of(model_of("int64[4] i", "float[4,32] y", table, weights, 21), **config)
    assert reason(plan, "m2") == "has its weight in blocks, but 'e' is quantized for others"


def test_weights_in_blocks_do_not_read_the_codes_made_for_others(model_of, plan_of):
    config = {"overrides": [{"match": "m2", "weights": {"granularity": {"block": 16}}}]}
    proto = model_of(
        "float[4,32] x",
        "float[4,32] y, float[4,32] z",
        "[m1] y = MatMul(x, w1) [m2] z = MatMul(x, w2)",
        {"w1": (32, 32), "w2": (32, 32)},
        21,
    )
    plan = plan_of(proto, **config)
    assert plan.nodes["m2"] == Integer("weights-only", "z")
    assert not plan.activations["x"].everyone


def test_a_tensor_first_read_inside_a_body_is_planned(model_of, plan_of):
    body = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["inner"], name="inside")],
        "then",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4, 8, 8])],
    )
    proto = model_of(
        f"bool c, {IMAGE}", f"{OUT}, float[1,4,8,8] z", f"[c1] y = {CONV}(x, w1)", {"w1": KERNEL}
    )
    branch = helper.make_node("If", ["c"], ["z"], name="if", then_branch=body, else_branch=body)
    proto.graph.node.insert(0, branch)
    plan = plan_of(proto)
    assert list(plan.nodes) == ["if", "c1"]
    assert isinstance(plan.nodes["c1"], Integer)
    assert not plan.activations["x"].everyone


def test_an_unavailable_second_output_keeps_split_float(model_of, plan_of):
    proto = model_of(
        IMAGE, "float[1,2,8,8] y, float[1,2,8,8] z", "[n] y, z = Split<axis=1>(x)", opset=11
    )
    plan = plan_of(proto, "qnn", unavailable={"z": "calibration saw no value of it"})
    assert reason(plan, "n") == "calibration saw no value of it"
    assert "z" not in plan.activations


def test_an_unavailable_sum_leaves_the_bias_outside(model_of, plan_of):
    body = "[m] t = MatMul(x, w) [a] s = Add(t, b) [c] y = MatMul(s, v)"
    weights = {"w": (8, 4), "b": (4,), "v": (4, 4)}
    proto = model_of("float[2,8] x", "float[2,4] y", body, weights)
    plan = plan_of(proto, "qnn", unavailable={"s": "calibration saw NaN"})
    assert "s" not in plan.activations
    assert reason(plan, "a") == "calibration saw NaN"
