"""Every pattern on ONNX Runtime itself: it runs in integers, and the outputs stay close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.parser import parse_model

from onnxq.calibration import activation_parameters
from onnxq.config import Config
from onnxq.graph import copy_model, load
from onnxq.measure import RunsInInteger, fused_groups, planned_tensors, read_optimized
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes
from onnxq.plan import Plan, make_plan
from onnxq.quant import QParams
from onnxq.targets import load_target

Shapes = Mapping[str, Sequence[int]]
FLOATS = np.random.default_rng(0)


@dataclass(frozen=True)
class Done:
    """A model before and after insertion."""

    before: onnx.ModelProto
    after: onnx.ModelProto
    plan: Plan
    parameters: Mapping[str, QParams]
    feed: Mapping[str, np.ndarray]

    def node(self, name: str) -> onnx.NodeProto:
        return next(n for n in self.after.graph.node if n.name == name)

    def constant(self, name: str) -> np.ndarray:
        found = next(t for t in self.after.graph.initializer if t.name == name)
        return onnx.numpy_helper.to_array(found)

    def dequantizer(self, tensor: str) -> onnx.NodeProto:
        """The DequantizeLinear that writes a tensor."""
        return next(
            n
            for n in self.after.graph.node
            if tensor in n.output and n.op_type == "DequantizeLinear"
        )

    def codes_read(self, node: str, index: int) -> np.ndarray:
        return self.constant(self.dequantizer(self.node(node).input[index]).input[0])

    def scale_read(self, node: str, index: int) -> np.ndarray:
        return self.constant(self.dequantizer(self.node(node).input[index]).input[1])


def model_of(
    inputs: str,
    outputs: str,
    body: str,
    weights: Shapes | Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from text; weights are drawn, or given as arrays."""
    proto = parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    generator = np.random.default_rng(1)
    for name, wanted in (weights or {}).items():
        value = wanted
        if not isinstance(wanted, np.ndarray):
            fan_in = max(1, int(np.prod(wanted[1:])))
            value = generator.standard_normal(tuple(wanted)) / np.sqrt(fan_in)
        tensor = onnx.numpy_helper.from_array(np.asarray(value, np.float32), name)
        proto.graph.initializer.append(tensor)
    return proto


def session(proto: onnx.ModelProto, level: object = None, path: Path | None = None):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if level is not None:
        options.graph_optimization_level = level
    if path is not None:
        options.optimized_model_filepath = str(path)
    return ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


def observed(proto: onnx.ModelProto, names: Sequence[str], feed: Mapping[str, np.ndarray]):
    """The values of inner tensors, by making them outputs."""
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    present = {o.name for o in twin.graph.output} | {i.name for i in twin.graph.input}
    twin.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    wanted = [n for n in names if n not in feed]
    found = dict(zip(wanted, session(twin).run(wanted, dict(feed)), strict=True)) if wanted else {}
    return {**{n: feed[n] for n in names if n in feed}, **found}


def made_feed(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    stored = {t.name for t in proto.graph.initializer}
    feed = {}
    for value in proto.graph.input:
        if value.name in stored:
            continue
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            feed[value.name] = generator.standard_normal(shape).astype(np.float32)
        else:
            feed[value.name] = generator.integers(0, 8, shape).astype(np.int64)
    return feed


def insert(proto: onnx.ModelProto, config: object = None, target: str = "ort-cpu") -> Done:
    """Plan, take exact ranges, insert."""
    model = load(proto)
    plan = make_plan(model, load_target(target), Config.model_validate(config or {}))
    feed = made_feed(proto)
    values = observed(proto, list(plan.activations), feed)
    ranges = {n: (float(v.min()), float(v.max())) for n, v in values.items()}
    parameters = activation_parameters(plan, ranges)
    copy = copy_model(model)
    apply_passes(copy, [InsertQDQ(plan, parameters), DeduplicateConstants()])
    after = copy.to_proto()
    onnx.checker.check_model(after, full_check=True)
    return Done(proto, after, plan, parameters, feed)


def placed(done: Done, folder: Path) -> dict[str, object]:
    """What the engine made of every planned node."""
    path = folder / "optimized.onnx"
    session(done.after, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, path)
    return dict(
        fused_groups(planned_tensors(done.after, done.plan.integer_nodes), read_optimized(path))
    )


def sqnr(done: Done) -> float:
    """Lowest SQNR over the outputs in dB."""
    before = session(done.before).run(None, dict(done.feed))
    after = session(done.after).run(None, dict(done.feed))
    found = []
    for a, b in zip(before, after, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        noise = np.sum((a.astype(np.float64) - b) ** 2)
        found.append(10 * np.log10(np.sum(a.astype(np.float64) ** 2) / max(noise, 1e-30)))
    return float(min(found))


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


def built(name: str) -> onnx.ModelProto:
    pattern = PATTERNS[name]
    proto = model_of(pattern.inputs, pattern.outputs, pattern.body, pattern.weights)
    if "shape)" in pattern.body:
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(np.array([1, 8], np.int64), "shape")
        )
    return proto


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_runs_in_integers_and_stays_close(name, tmp_path):
    pattern, proto = PATTERNS[name], built(name)
    content = proto.SerializeToString(deterministic=True)
    done = insert(proto)
    assert proto.SerializeToString(deterministic=True) == content
    assert list(done.plan.integer_nodes) == pattern.integer.split()
    states = placed(done, tmp_path)
    assert {n: s for n, s in states.items() if not isinstance(s, RunsInInteger)} == {}
    assert sqnr(done) > pattern.db
    kept = [t.name for t in done.after.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    weights = {o.tensor for o in done.plan.operands.values()}
    assert weights.isdisjoint(kept), "no float copy of a weight is left"
    assert done.after.graph.output == proto.graph.output
    assert done.after.graph.input == proto.graph.input
