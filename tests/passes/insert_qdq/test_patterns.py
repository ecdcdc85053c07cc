"""Every pattern on ONNX Runtime itself: it runs in integers, and the outputs stay close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from onnxq.measure import RunsInInteger

IMAGE, TOKENS = "float[1,8,8,8] x", "float[2,5,16] x"
CONV = {"w": (8, 8, 3, 3), "b": (8,)}
CONV2 = {**CONV, "w2": (8, 8, 3, 3), "b2": (8,)}
C1 = "[c1] t = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w, b)"
SIX = {"zero": np.array(0.0), "six": np.array(6.0)}


def conv2(name: str, read: str, write: str) -> str:
    return f"[{name}] {write} = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>({read}, w2, b2)"


@dataclass(frozen=True)
class Pattern:
    inputs: str
    outputs: str
    body: str
    weights: Mapping[str, object]
    integer: str
    """The nodes that must run in integers, in one string."""
    db: float = 25.0


def image_to_image(body: str, weights: Mapping[str, object], integer: str) -> Pattern:
    return Pattern(IMAGE, "float[1,8,8,8] y", body, weights, integer)


PATTERNS = {
    "conv": image_to_image(f"{C1} {conv2('c2', 't', 'y')}", CONV2, "c1 c2"),
    "conv-relu": image_to_image(f"{C1} [r] y = Relu(t)", CONV, "c1"),
    "conv-relu-conv": image_to_image(
        f"{C1} [r] u = Relu(t) {conv2('c2', 'u', 'y')}", CONV2, "c1 c2"
    ),
    "conv-clip": image_to_image(f"{C1} [r] y = Clip(t, zero, six)", {**CONV, **SIX}, "c1"),
    "conv-clip-pool": image_to_image(
        f"{C1} [r] u = Clip(t, zero, six)"
        "[p] v = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(u)" + conv2("c2", "v", "y"),
        {**CONV2, "zero": np.array(0.0), "six": np.array(0.7)},
        "c1 p c2",
    ),
    "conv-leaky": image_to_image(
        f"{C1} [a] u = LeakyRelu<alpha=0.1>(t) {conv2('c2', 'u', 'y')}", CONV2, "c1 a c2"
    ),
    "silu": image_to_image(
        f"{C1} [s] g = Sigmoid(t) [m] u = Mul(t, g) {conv2('c2', 'u', 'y')}", CONV2, "c1 s m c2"
    ),
    "residual": image_to_image(
        f"{C1} {conv2('c2', 't', 'u')} [a] v = Add(u, t) [r] z = Relu(v) {conv2('c3', 'z', 'y')}",
        CONV2,
        "c1 c2 a c3",
    ),
    "residual-of-input": image_to_image(
        f"{C1} [a] u = Add(x, t) {conv2('c2', 'u', 'y')}", CONV2, "c1 a c2"
    ),
    "concat": Pattern(
        IMAGE,
        "float[1,4,8,8] y",
        f"{C1} {conv2('c2', 'x', 'u')} [k] v = Concat<axis=1>(t, u)"
        "[c3] y = Conv<kernel_shape=[1,1]>(v, w3)",
        {**CONV2, "w3": (4, 16, 1, 1)},
        "c1 c2 k c3",
    ),
    "pool": image_to_image(
        f"{C1} [r] u = Relu(t) [p] v = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(u)"
        + conv2("c2", "v", "y"),
        CONV2,
        "c1 p c2",
    ),
    "head": Pattern(
        IMAGE,
        "float[1,10] y",
        f"{C1} [p] u = GlobalAveragePool(t) [s] v = Reshape(u, shape)"
        "[g] y = Gemm<transB=1>(v, wg, bg)",
        {**CONV, "wg": (10, 8), "bg": (10,)},
        "c1 p s g",
    ),
    "depthwise": image_to_image(
        f"{C1} [r] u = Relu(t) [d] y = Conv<group=8, kernel_shape=[3,3], pads=[1,1,1,1]>(u, wd)",
        {**CONV, "wd": (8, 1, 3, 3)},
        "c1 d",
    ),
    "gemm": Pattern(
        "float[4,16] x",
        "float[4,8] y",
        "[g] y = Gemm(x, w, b)",
        {"w": (16, 8), "b": (8,)},
        "g",
    ),
    "gemm-chain": Pattern(
        "float[4,16] x",
        "float[4,8] y",
        "[g1] t = Gemm<transB=1>(x, w1, b1) [r] u = Relu(t) [g2] y = Gemm(u, w2, b2)",
        {"w1": (12, 16), "b1": (12,), "w2": (12, 8), "b2": (1, 8)},
        "g1 g2",
    ),
    "gemm-relu-out": Pattern(
        "float[4,16] x",
        "float[4,8] y",
        "[g] t = Gemm(x, w, b) [r] y = Relu(t)",
        {"w": (16, 8), "b": (8,)},
        "g",
    ),
    "matmul": Pattern(
        TOKENS,
        "float[2,5,8] y",
        "[m1] t = MatMul(x, w1) [m2] y = MatMul(t, w2)",
        {"w1": (16, 16), "w2": (16, 8)},
        "m1 m2",
    ),
    "linear": Pattern(
        TOKENS,
        "float[2,5,8] y",
        "[m] t = MatMul(x, w) [a] y = Add(t, b)",
        {"w": (16, 8), "b": (8,)},
        "m",
    ),
    "linear-bias-first": Pattern(
        TOKENS,
        "float[2,5,8] y",
        "[m] t = MatMul(x, w) [a] y = Add(b, t)",
        {"w": (16, 8), "b": (8,)},
        "m",
    ),
    "linear-row-bias": Pattern(
        "float[5,16] x",
        "float[5,8] y",
        "[m] t = MatMul(x, w) [a] y = Add(t, b)",
        {"w": (16, 8), "b": (1, 8)},
        "m",
    ),
    "linear-chain": Pattern(
        TOKENS,
        "float[2,5,8] y",
        "[m1] t = MatMul(x, w1) [a1] u = Add(t, b1) [r] v = Relu(u)"
        "[m2] z = MatMul(v, w2) [a2] y = Add(z, b2)",
        {"w1": (16, 12), "b1": (12,), "w2": (12, 8), "b2": (8,)},
        "m1 m2",
    ),
    "linear-relu-out": Pattern(
        TOKENS,
        "float[2,5,8] y",
        "[m] t = MatMul(x, w) [a] u = Add(t, b) [r] y = Relu(u)",
        {"w": (16, 8), "b": (8,)},
        "m",
    ),
    "add-constant": image_to_image(
        f"{C1} [a] u = Add(t, k) {conv2('c2', 'u', 'y')}", {**CONV2, "k": (1, 8, 1, 1)}, "c1 a c2"
    ),
    "mul-constant": image_to_image(
        f"{C1} [a] u = Mul(t, k) {conv2('c2', 'u', 'y')}", {**CONV2, "k": (8, 1, 1)}, "c1 a c2"
    ),
    "output-and-read": Pattern(
        IMAGE,
        "float[1,8,8,8] t, float[1,8,8,8] y",
        f"{C1} {conv2('c2', 't', 'y')}",
        CONV2,
        "c1 c2",
    ),
    "also-read-in-float": Pattern(
        IMAGE,
        "float[1,8,8,8] y, float[1,8,8,8] z",
        f"{C1} {conv2('c2', 't', 'y')} [n] z = Tanh(t)",
        CONV2,
        "c1 c2",
    ),
    "input-read-twice": image_to_image(
        f"{C1} {conv2('c2', 'x', 'u')} [a] v = Add(t, u) {conv2('c3', 'v', 'y')}",
        CONV2,
        "c1 c2 a c3",
    ),
    "same-tensor-twice": image_to_image(
        f"{C1} [a] u = Add(t, t) {conv2('c2', 'u', 'y')}", CONV2, "c1 a c2"
    ),
    "shared-weight": image_to_image(
        f"{C1} [c2] y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(t, w, b)", CONV, "c1 c2"
    ),
    "two-heads": Pattern(
        IMAGE,
        "float[1,8,8,8] y, float[1,8,1,1] z",
        f"{C1} [r] u = Relu(t) {conv2('c2', 'u', 'y')} [p] v = GlobalAveragePool(u)"
        "[c3] z = Conv<kernel_shape=[1,1]>(v, w3)",
        {**CONV2, "w3": (8, 8, 1, 1)},
        "c1 c2 p c3",
    ),
    "split": image_to_image(
        f"{C1} [s] p, q = Split<axis=1>(t) [k] u = Concat<axis=1>(q, p) {conv2('c2', 'u', 'y')}",
        CONV2,
        "c1 s k c2",
    ),
}


def built(model_of, name: str) -> onnx.ModelProto:
    pattern = PATTERNS[name]
    proto = model_of(pattern.inputs, pattern.outputs, pattern.body, pattern.weights)
    if "shape)" in pattern.body:
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(np.array([1, 8], np.int64), "shape")
        )
    return proto


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_runs_in_integers_and_stays_close(name, model_of, insert, placed, sqnr):
    pattern, proto = PATTERNS[name], built(model_of, name)
    content = proto.SerializeToString(deterministic=True)
    done = insert(proto)
    assert proto.SerializeToString(deterministic=True) == content
    assert list(done.plan.integer_nodes) == pattern.integer.split()
    states = placed(done)
    assert {n: s for n, s in states.items() if not isinstance(s, RunsInInteger)} == {}
    assert sqnr(done) > pattern.db
    kept = [t.name for t in done.after.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    weights = {o.tensor for o in done.plan.operands.values()}
    assert weights.isdisjoint(kept), "no float copy of a weight is left"
    assert done.after.graph.output == proto.graph.output
    assert done.after.graph.input == proto.graph.input
