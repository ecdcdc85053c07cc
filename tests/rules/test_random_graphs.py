"""The whole of Simplify on graphs drawn at random: parity, idempotence, determinism."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.engine import input_specs, made_up_feeds, open_session, runner
from onnxq.graph import load
from onnxq.passes import LowerConstants, apply_passes
from onnxq.passes.parity import difference
from onnxq.rules import Simplify

_PASSES = [LowerConstants(), Simplify()]

_SEEDS = range(80)
_CHANNELS, _SIZE = 4, 5
_CLOSE = 1e-4
"""A dozen layers of float32 sums in another order, relative to the largest output."""


class Drawing:
    """Draws spellings over tensors [N, 4, 5, 5]; every step ends with such a tensor."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.random.choice([13, 17, 20]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values = ["x"]

    def model(self, count: int) -> onnx.ModelProto:
        """A model of so many steps that returns two tensors."""
        for _ in range(count):
            step = STEPS[int(self.random.integers(len(STEPS)))]
            self.values.append(step(self, self.value()))
        names = sorted({self.values[-1], str(self.random.choice(self.values[1:]))})
        batch = "batch" if self.random.random() < 0.7 else 2
        shape = [batch, _CHANNELS, _SIZE, _SIZE]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in names]
        graph = helper.make_graph(self.nodes, "random", [x], outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def value(self) -> str:
        """One of the tensors, rather a late one."""
        recent = self.values[-3:] if self.random.random() < 0.7 else self.values
        return str(self.random.choice(recent))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of its result."""
        result = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attributes))
        return result

    def store(self, value: np.ndarray) -> str:
        """A constant; its name."""
        self.constants.append(numpy_helper.from_array(value, f"w{len(self.constants)}"))
        return self.constants[-1].name

    def integers(self, *values: int) -> str:
        """A constant list of integers."""
        return self.store(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A constant scalar."""
        return self.store(np.float32(value))

    def weight(self, *shape: int) -> str:
        """Random weights that keep the magnitude of what they multiply."""
        value = self.random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        return self.store(value.astype(np.float32))

    def per_channel(self) -> str:
        """A factor or addend for each channel."""
        value = self.random.uniform(0.5, 1.5, (1, _CHANNELS, 1, 1))
        return self.store(value.astype(np.float32))

    def mean(self, source: str, axes: list[int]) -> str:
        """ReduceMean, whose axes became an input."""
        if self.opset < 18:
            return self.add("ReduceMean", source, axes=axes)
        return self.add("ReduceMean", source, self.integers(*axes))

    def flip(self) -> bool:
        """True every other time."""
        return bool(self.random.random() < 0.5)


def convolution(d: Drawing, source: str) -> str:
    size = int(d.random.choice([1, 3]))
    groups = int(d.random.choice([1, 2, 4]))
    weight = d.weight(_CHANNELS, _CHANNELS // groups, size, size)
    inputs = [source, weight] + ([d.weight(_CHANNELS)] if d.flip() else [])
    pads = [size // 2] * 4
    if d.flip():
        return d.add("Conv", *inputs, group=groups, pads=pads)
    padded = d.add("Pad", source, d.integers(0, 0, *pads[:2], 0, 0, *pads[2:]))
    return d.add("Conv", padded, *inputs[1:], group=groups)


def affine(d: Drawing, source: str) -> str:
    for _ in range(int(d.random.integers(1, 4))):
        op = str(d.random.choice(["Mul", "Add", "Sub", "Div"]))
        operand = d.per_channel() if d.flip() else d.number(d.random.uniform(0.5, 1.5))
        both = [source, operand] if d.flip() or op == "Div" else [operand, source]
        source = d.add(op, *both)
    return source


def scaled_convolution(d: Drawing, source: str) -> str:
    return affine(d, convolution(d, affine(d, source)))


def norm(d: Drawing, source: str) -> str:
    value = d.random.uniform(0.5, 1.5, (4, _CHANNELS)).astype(np.float32)
    return d.add("BatchNormalization", source, *(d.store(v) for v in value))


def activation(d: Drawing, source: str) -> str:
    return d.add(str(d.random.choice(["Relu", "Sigmoid", "Tanh", "Softplus"])), source)


def hard_swish(d: Drawing, source: str) -> str:
    shifted = d.add("Add", source, d.number(3))
    if d.flip():
        clipped = d.add("Clip", shifted, d.number(0), d.number(6))
    else:
        clipped = d.add("Min", d.add("Relu", shifted), d.number(6))
    return d.add("Div", d.add("Mul", source, clipped), d.number(6))


def gelu(d: Drawing, source: str) -> str:
    erf = d.add("Erf", d.add("Div", source, d.number(2**0.5)))
    product = d.add("Mul", source, d.add("Add", erf, d.number(1)))
    return d.add("Mul", product, d.number(0.5))


def swish(d: Drawing, source: str) -> str:
    return d.add("Mul", source, d.add("Sigmoid", source))


def layer_norm(d: Drawing, source: str) -> str:
    """Over the channels, which stand last for it."""
    last = d.add("Transpose", source, perm=[0, 2, 3, 1])
    centred = d.add("Sub", last, d.mean(last, [-1]))
    squares = d.add("Pow", centred, d.number(2)) if d.flip() else d.add("Mul", centred, centred)
    deviation = d.add("Sqrt", d.add("Add", d.mean(squares, [-1]), d.number(1e-5)))
    scaled = d.add("Mul", d.add("Div", centred, deviation), d.weight(_CHANNELS))
    return d.add("Transpose", d.add("Add", scaled, d.weight(_CHANNELS)), perm=[0, 3, 1, 2])


def residual(d: Drawing, source: str) -> str:
    return d.add("Add", convolution(d, source), source)


def parallel(d: Drawing, source: str) -> str:
    """Branches of one input that are summed up, as in re-parameterised networks."""
    return d.add("Add", convolution(d, source), convolution(d, source))


def repeated(d: Drawing, source: str) -> str:
    """The same computed twice."""
    op = str(d.random.choice(["Relu", "Sigmoid", "Exp"]))
    small = d.add("Tanh", source)
    return d.add("Mul", d.add(op, small), d.add(op, small))


def concatenated(d: Drawing, source: str) -> str:
    wide = d.add("Concat", source, d.add("Concat", d.value(), source, axis=1), axis=1)
    return d.add("Conv", wide, d.weight(_CHANNELS, 3 * _CHANNELS, 1, 1))


def split(d: Drawing, source: str) -> str:
    names = [f"s{len(d.nodes)}a", f"s{len(d.nodes)}b"]
    d.nodes.append(helper.make_node("Split", [source, d.integers(1, 3)], names, axis=1))
    if d.flip():
        names[1] = d.add("Mul", names[1], d.number(2))
    return d.add("Concat", *names, axis=1)


def sliced(d: Drawing, source: str) -> str:
    parts = [(0, 2), (2, 2**31 - 1)] if d.flip() else [(0, 1), (1, 3), (3, _CHANNELS)]
    axis = d.integers(1)
    found = [d.add("Slice", source, d.integers(a), d.integers(b), axis) for a, b in parts]
    if d.flip():
        found[0] = d.add("Neg", found[0])
    return d.add("Concat", *found, axis=1)


def causal(d: Drawing, source: str) -> str:
    """Padded on both sides, then cut."""
    wide = d.add("Conv", source, d.weight(_CHANNELS, _CHANNELS, 3, 3), pads=[2] * 4)
    ends = d.integers(-2, -2)
    return d.add("Slice", wide, d.integers(0, 0), ends, d.integers(2, 3))


def shuffled(d: Drawing, source: str) -> str:
    """Channels exchanged between groups, with shapes that are computed."""
    shape = d.add("Shape", source)
    batch = d.add("Unsqueeze", d.add("Gather", shape, d.store(np.int64(0))), d.integers(0))
    grouped = d.add("Concat", batch, d.integers(2, 2, _SIZE, _SIZE), axis=0)
    moved = d.add("Transpose", d.add("Reshape", source, grouped), perm=[0, 2, 1, 3, 4])
    return d.add("Reshape", moved, shape)


def reshaped(d: Drawing, source: str) -> str:
    """There and back, by way of several shapes."""
    flat = d.add("Flatten", source) if d.flip() else d.add("Reshape", source, d.integers(0, -1))
    deep = d.add("Unsqueeze", flat, d.integers(1, 2))
    half = d.add("Squeeze", deep, d.integers(1))
    return d.add("Reshape", half, d.integers(-1, _CHANNELS, _SIZE, _SIZE))


def transposed(d: Drawing, source: str) -> str:
    """Elementwise operators between two Transposes."""
    inside = activation(d, d.add("Transpose", source, perm=[0, 2, 3, 1]))
    if d.flip():
        inside = d.add("Add", inside, d.weight(_CHANNELS))
    if d.flip():
        inside = d.add("Mul", inside, d.add("Transpose", d.value(), perm=[0, 2, 3, 1]))
    return d.add("Transpose", d.add("Tanh", inside), perm=[0, 3, 1, 2])


def excited(d: Drawing, source: str) -> str:
    """Squeeze and excitation."""
    pooled = d.add("GlobalAveragePool", source) if d.flip() else d.mean(source, [2, 3])
    gate = d.add("Conv", pooled, d.weight(_CHANNELS, _CHANNELS, 1, 1))
    return d.add("Mul", source, d.add("Sigmoid", gate))


def pooled(d: Drawing, source: str) -> str:
    op = str(d.random.choice(["MaxPool", "AveragePool"]))
    size = int(d.random.choice([1, 3]))
    return d.add(op, source, kernel_shape=[size] * 2, pads=[size // 2] * 4)


def linear(d: Drawing, source: str) -> str:
    """Two linear layers over the channels."""
    last = d.add("Transpose", source, perm=[0, 2, 3, 1])
    for _ in range(2):
        last = d.add("MatMul", last, d.weight(_CHANNELS, _CHANNELS))
        if d.flip():
            last = d.add("Add", last, d.weight(_CHANNELS))
    return d.add("Transpose", last, perm=[0, 3, 1, 2])


def gemm(d: Drawing, source: str) -> str:
    width = _CHANNELS * _SIZE * _SIZE
    weights = d.weight(width, width), d.weight(width)
    flat = d.add("Gemm", d.add("Flatten", source), *weights, alpha=0.5, beta=2.0)
    return d.add("Reshape", flat, d.integers(-1, _CHANNELS, _SIZE, _SIZE))


def neutral(d: Drawing, source: str) -> str:
    """Nothing at all, in many words."""
    zero = d.add("Mul", d.add("Add", source, d.number(0)), d.number(1))
    cast = d.add("Cast", d.add("Cast", zero, to=TensorProto.DOUBLE), to=TensorProto.FLOAT)
    return d.add("Dropout", d.add("Identity", cast))


def expanded(d: Drawing, source: str) -> str:
    """A bias stretched to the shape of what it is added to."""
    return d.add("Add", source, d.add("Expand", d.per_channel(), d.add("Shape", source)))


def attended(d: Drawing, source: str) -> str:
    """Softmax of products of rows."""
    rows = d.add("Reshape", source, d.integers(0, _CHANNELS, -1))
    scores = d.add("MatMul", rows, d.add("Transpose", rows, perm=[0, 2, 1]))
    weights = d.add("Softmax", d.add("Div", scores, d.number(5)), axis=-1)
    return d.add("Reshape", d.add("MatMul", weights, rows), d.add("Shape", source))


def branched(d: Drawing, source: str) -> str:
    """If on a condition that the input decides; both branches capture."""
    total = d.add("ReduceSum", source, keepdims=0)
    condition = d.add("Greater", total, d.number(0))
    bodies = {}
    for name, op in (("then_branch", "Add"), ("else_branch", "Sub")):
        node = helper.make_node(op, [source, d.per_channel()], ["inner"])
        output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["a", "b", "c", "d"])
        bodies[name] = helper.make_graph([node], name, [], [output])
    return d.add("If", condition, **bodies)


STEPS = [
    convolution, scaled_convolution, affine, norm, activation, hard_swish, gelu, swish,
    layer_norm, residual, parallel, repeated, concatenated, split, sliced, causal, shuffled,
    reshaped, transposed, excited, pooled, linear, gemm, neutral, expanded, attended, branched,
]  # fmt: skip


def draw(seed: int) -> onnx.ModelProto:
    """The drawing of a seed."""
    return Drawing(seed).model(count=9)


def digest(proto: onnx.ModelProto) -> str:
    """What a simplified model is, byte for byte."""
    model = load(proto)
    apply_passes(model, _PASSES)
    content = model.to_proto().SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("seed", _SEEDS)
def test_simplified(seed: int) -> None:
    before = draw(seed)
    content = before.SerializeToString(deterministic=True)
    model = load(before)
    apply_passes(model, _PASSES)
    after = model.to_proto()
    assert before.SerializeToString(deterministic=True) == content
    onnx.checker.check_model(after)
    assert _error(before, after) < _CLOSE

    (again,) = apply_passes(model, [Simplify()])
    assert not again.applied
    assert model.to_proto() == after
    assert digest(draw(seed)) == digest(draw(seed))


def _error(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    session = open_session(before, threads=1)
    feeds = made_up_feeds(input_specs(session), 2)
    first, second = runner(session), runner(open_session(after, threads=1))
    return max(difference(first(feed), second(feed)) for feed in feeds)


def test_the_drawings_give_the_rules_something_to_do() -> None:
    applied: dict[str, int] = {}
    for seed in _SEEDS:
        for report in apply_passes(load(draw(seed)), _PASSES):
            for event in report.applied:
                applied[event.rule] = applied.get(event.rule, 0) + 1
    assert len(applied) > 20
    assert sum(applied.values()) > 400


def test_the_order_of_hashes_does_not_matter() -> None:
    """Another process, another seed of Python's hashes, the same bytes."""
    code = "; ".join(
        [
            "import importlib.util as u",
            f"s = u.spec_from_file_location('graphs', {str(Path(__file__))!r})",
            "m = u.module_from_spec(s)",
            "s.loader.exec_module(m)",
            "print(*(m.digest(m.draw(seed)) for seed in range(10)))",
        ]
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
