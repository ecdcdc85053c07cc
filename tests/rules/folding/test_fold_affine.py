"""Which way a chain goes, what is said about it, and what must not be touched."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import read
from onnxq.rules.folding.fold_affine import FoldAffine

_CONV = {"w": (4, 4, 1, 1), "b": (4,)}
_CHANNELS = (4, 1, 1)


def test_scalars_are_named(folding):
    body = "{ t = Conv(x, w, b) s = Mul(t, a) y = Add(s, c) }"
    outcome = folding(body, **_CONV, a=np.float32(0.83), c=np.float32([[[[-2]]]]))
    assert outcome.applied == ["folded 2 nodes 0.83·x -2 into 'make_t' (Conv)"]


def test_both_ways_at_once(folding):
    body = "{ t = Conv(x, w, b) r = Relu(t) s = Mul(r, pa) u = Add(s, c) y = Conv(u, v) }"
    outcome = folding(body, **_CONV, pa=_CHANNELS, c=_CHANNELS, v=(3, 4, 1, 1))
    assert outcome.ops == ["Conv", "Relu", "Conv"]
    body = """{ t = Conv(x, w, b) g = Sigmoid(x) r = Mul(t, g) s = Mul(r, a) u = Add(s, c)
        q = Sub(u, k) p = Mul(q, a) o = Tanh(x) n = Max(p, o) y = Relu(n) }"""
    outcome = folding(body, **_CONV, a=_CHANNELS, c=_CHANNELS, k=())
    assert outcome.applied == ["folded 4 nodes into 'make_t' (Conv); an Add of its addend is left"]


def test_the_addition_goes_up_and_the_factor_stays(folding):
    body = "{ t = MaxPool <kernel_shape = [2, 2]> (x) s = Mul(t, a) y = Add(s, c) }"
    a = np.float32([1, -1, 2, 3]).reshape(_CHANNELS)
    body = f"{{ u = Conv(x, w, b) {body[1:]}".replace("(x) s", "(u) s")
    outcome = folding(body, **_CONV, a=a, c=_CHANNELS)
    assert outcome.ops == ["Conv", "MaxPool", "Mul"]
    body = "{ u = InstanceNormalization(x, w, b) t = Add(u, x) s = Mul(t, a) y = Add(s, c) }"
    outcome = folding(body, w=(4,), b=(4,), a=_CHANNELS, c=_CHANNELS)
    assert outcome.ops == ["InstanceNormalization", "Add", "Mul"]
    assert outcome.applied == [
        "folded 2 nodes into 'make_u' (InstanceNormalization); a Mul of its factor is left"
    ]


def test_nobody_looks_at_elements(folding):
    body = "{ s = Mul(x, a) y = Shape(s) z = Relu(x) }"
    outcome = folding(body, a=(), outputs="int64 y, float z")
    assert outcome.ops == ["Shape", "Relu"]
    assert outcome.applied[0].endswith("x away")


def test_nothing_around_it(folding):
    outcome = folding("{ t = Tanh(x) s = Mul(t, a) y = Exp(s) }", a=())
    assert not outcome.applied
    assert not outcome.refused


def test_a_chain_of_one_axis_and_then_another(folding):
    body = "{ t = Conv(x, w, b) s = Mul(t, a) r = Mul(s, d) q = Add(r, e) y = Tanh(q) }"
    outcome = folding(body, **_CONV, a=_CHANNELS, d=(6,), e=(6, 1))
    assert outcome.ops == ["Conv", "Mul", "Add", "Tanh"]
    body = "{ t = Conv(x, w, b) s = Mul(t, a) r = Mul(s, k) q = Mul(r, d) y = Tanh(q) }"
    outcome = folding(body, **_CONV, a=_CHANNELS, k=(), d=(6,))
    assert outcome.ops == ["Conv", "Mul", "Tanh"]


def test_outputs_keep_their_names(folding):
    body = "{ t = Conv(x, w, b) z = Mul(t, a) y = Add(z, c) }"
    outcome = folding(body, **_CONV, a=(), c=(), outputs="float y, float z")
    assert outcome.ops == ["Conv", "Add"]
    assert [o.name for o in outcome.after.graph.output] == ["y", "z"]
    outcome = folding(body, **_CONV, a=(), c=(), outputs="float y, float t")
    assert outcome.ops == ["Conv", "Mul", "Add"]


def test_a_result_of_an_input_stays(folding):
    body = "{ y = Mul(x, a) z = Conv(x, w, b) }"
    outcome = folding(body, **_CONV, a=(), outputs="float y, float z")
    assert outcome.ops == ["Mul", "Conv"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.float32([1, np.inf, 1, 1]), "'a' is not finite"),
        (np.float32([np.nan] * 4), "'a' is not finite"),
        (np.float32([3e38] * 4), "a constant would leave the range of float32"),
        (np.float32([1e-38] * 4), "a constant would be too small for float32"),
    ],
)
def test_numbers_that_cannot_be_kept(folding, value, reason):
    body = "{ t = Conv(x, w) y = Mul(t, a) }"
    w = np.full((4, 4, 1, 1), 10, np.float32) * (1e-2 if value[0] < 1 else 1)
    outcome = folding(body, w=w, a=value.reshape(_CHANNELS), runs=False)
    assert outcome.ops == ["Conv", "Mul"]
    assert reason in outcome.refused[0]


def test_division_by_zero(folding):
    body = "{ t = Conv(x, w) y = Div(t, a) }"
    outcome = folding(body, w=(4, 4, 1, 1), a=np.float32(0), runs=False)
    assert outcome.refused == ["divides by 0 in 'a'"]


def test_constants_that_broadcast_stay(folding):
    body = "{ t = GlobalAveragePool(x) u = Conv(t, w, b) y = Mul(u, a) }"
    assert folding(body, **_CONV, a=(3, 3)).ops == ["GlobalAveragePool", "Conv", "Mul"]
    body = "{ u = Gemm(x, w) y = Mul(u, a) }"
    assert folding(body, "float[2,3] x", w=(3, 4), a=(1, 1, 1)).ops == ["Gemm", "Mul"]
    assert folding(body, "float[n,3] x", w=(3, 4), a=(2, 1), runs=False).ops == ["Gemm", "Mul"]


def test_a_large_shared_weight_is_not_copied(folding):
    body = "{ t = Conv(x, w) y = Mul(t, a) z = Conv(x, w) }"
    outputs = "float y, float z"
    outcome = folding(
        body, "float[1,64,2,2] x", w=(64, 64, 3, 3), a=(), outputs=outputs, runs=False
    )
    assert "is shared with others" in outcome.refused[0]
    outcome = folding(body, w=(4, 4, 1, 1), a=(), outputs=outputs)
    assert outcome.ops == ["Conv", "Conv"]
    assert {c.name for c in outcome.model.constants} == {"w", "w_fused"}


def test_constants_do_not_grow_much(folding):
    body = "{ t = MatMul(x, w) s = Add(t, k) r = Relu(s) y = Mul(r, pa) }"
    constants = {"w": (2, 20000), "k": (), "pa": (20000,)}
    outcome = folding(body, "float[3,2] x", **constants)
    assert outcome.refused[0].startswith("the operand 'k' of 'make_s' would grow")


def test_defaults_that_callers_may_replace():
    w = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    a = numpy_helper.from_array(np.float32(3), "a")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t"], name="conv"),
        helper.make_node("Mul", ["t", "a"], ["y"], name="mul"),
    ]
    for listed, reason in (("w", "the weight 'w' of 'conv' is not a constant"), ("a", "")):
        given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2, 2])]
        shape = [4, 4, 1, 1] if listed == "w" else []
        given.append(helper.make_tensor_value_info(listed, TensorProto.FLOAT, shape))
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 2, 2])
        graph = helper.make_graph(nodes, "g", given, [y], [w, a])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (event,) = _events(proto) or (None,)
        assert (event.reason if event else "").startswith(reason)


def _events(proto):
    from onnxq.graph import load

    return list(FoldAffine().apply(load(proto)))


def test_bodies_see_tensors_too(applying):
    source = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,2,2,2] x, bool p) => (float[1,2,2,2] y)
    <float[2,2,1,1] w = {1.0, 2.0, 3.0, 4.0}, float a = {3.0}> {
      t = Conv(x, w)
      s = Mul(t, a)
      y = If (p) <
        then_branch = one () => (float[1,2,2,2] o) { o = Relu(s) },
        else_branch = two () => (float[1,2,2,2] q) { q = Neg(t) }
      >
    }"""
    outcome = applying(source, FoldAffine())
    assert outcome.ops == ["Conv", "Mul", "If"]
    outcome = applying(source.replace("Neg(t)", "Neg(s)"), FoldAffine())
    assert outcome.ops == ["Conv", "If"]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types(applying, dtype):
    random = np.random.default_rng(0)
    constants = {"w": random.standard_normal((3, 4)), "a": np.array(1.5), "c": random.random(4)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["t"]),
        helper.make_node("Mul", ["t", "a"], ["s"]),
        helper.make_node("Add", ["s", "c"], ["y"]),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (helper.make_tensor_value_info(n, kind, [2, s]) for n, s in (("x", 3), ("y", 4)))
    stored = [numpy_helper.from_array(v.astype(dtype), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # Half precision rounds to 1 part in 1000 at every step.
    rtol, atol = (4e-3, 8e-3) if dtype is np.float16 else (1e-12, 1e-12)
    outcome = applying(proto, FoldAffine(), rtol=rtol, atol=atol)
    assert outcome.ops == ["MatMul", "Add"]
    assert {c.dtype for c in outcome.model.constants} == {np.dtype(dtype)}


def test_half_precision_does_not_grow_in_between():
    proto = _half(32.0)
    (event,) = _events(proto)
    assert "'r' could leave the range of float16" in event.reason or "range" in event.reason
    (event,) = _events(_half(0.5))
    assert event.what.startswith("folded 0.5·x into")


def _half(factor: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["t"]),
        helper.make_node("Relu", ["t"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["m"], axes=[1]),
        helper.make_node("Mul", ["m", "a"], ["y"]),
    ]
    kind = TensorProto.FLOAT16
    x = helper.make_tensor_value_info("x", kind, [2, 3])
    y = helper.make_tensor_value_info("y", kind, [2, 1])
    constants = {"w": np.ones((3, 4), np.float16), "a": np.float16(factor)}
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_integers_are_left_alone(folding):
    body = "{ t = MatMul(x, w) y = Mul(t, a) }"
    constants = {"w": np.int32([[1]] * 3), "a": np.int32(2)}
    outcome = folding(body, "int32[2,3] x", outputs="int32 y", **constants)
    assert outcome.ops == ["MatMul", "Mul"]
    assert not outcome.refused


def test_weights_are_rounded_once(folding):
    body = "{ t = Conv(x, w) s = Mul(t, a) r = Mul(s, d) y = Div(r, e) }"
    outcome = folding(body, w=(4, 4, 1, 1), a=_CHANNELS, d=(), e=np.float32(3))
    held = {c.name: read(c).astype(np.float64) for c in outcome.model.constants}
    given = {
        t.name: numpy_helper.to_array(t).astype(np.float64)
        for t in outcome.before.graph.initializer
    }
    exact = given["w"] * (given["a"] * given["d"] / given["e"])[:, None]
    np.testing.assert_allclose(held["w_fused"], exact, rtol=6e-8)


def test_shapes_without_elements(folding):
    body = "{ t = Conv(x, w, b) r = Reshape <allowzero = 1> (t, s) y = Mul(r, a) }"
    outcome = folding(body, "float[0,4,2,2] x", **_CONV, s=np.int64([0, 4, 4]), a=(4, 1))
    assert outcome.ops in (["Conv", "Reshape"], ["Conv", "Reshape", "Mul"])
