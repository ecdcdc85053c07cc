"""All exact passes on graphs drawn at random: invariants, parity, idempotence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import load
from onnxq.passes import (
    DeduplicateConstants,
    FoldConstants,
    FreezeDefaults,
    InlineFunctions,
    LowerConstants,
    Pass,
    RemoveDeadNodes,
    RemoveIdentities,
    apply_passes,
)
from onnxq.rules import FoldGemmScalars, FuseBatchNorm, FuseGelu

PASSES: list[Pass] = [
    RemoveDeadNodes(),
    InlineFunctions(),
    FreezeDefaults(),
    LowerConstants(),
    RemoveIdentities(),
    FoldConstants(),
    FoldGemmScalars(),
    FuseBatchNorm(),
    FuseGelu(),
    DeduplicateConstants(),
]

_CHANNELS, _SIZE = 4, 3


class _Drawing:
    """Draws nodes over tensors [2, 4, 3, 3], and over constants of several shapes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values = ["x"]
        self.known: list[str] = []

    def model(self, count: int) -> onnx.ModelProto:
        steps = [
            self.convolution, self.norm, self.unary, self.binary, self.identity, self.dropout,
            self.constant_node, self.arranged, self.reshaped, self.gelu, self.flat, self.branch,
        ]  # fmt: skip
        self.add("Identity", [self.weight(1, _CHANNELS, 1, 1)], self.known)
        for _ in range(count):
            steps[self.random.integers(len(steps))]()
        outputs = {self.values[-1], str(self.random.choice(self.values[1:] or ["x"]))} - {"x"}
        if not outputs:
            self.unary()
            outputs = {self.values[-1]}
        shape = ["batch", _CHANNELS, _SIZE, _SIZE]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        y = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in sorted(outputs)]
        order = self.random.permutation(len(self.nodes)) if self.random.random() < 0.3 else None
        nodes = self.nodes if order is None else [self.nodes[i] for i in order]
        graph = helper.make_graph(nodes, "random", [x], y, self.constants)
        opset = int(self.random.choice([17, 20]))
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )

    def add(self, op: str, inputs: list[str], into: list[str], **attributes: object) -> str:
        result = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attributes))
        into.append(result)
        return result

    def weight(self, *shape: int) -> str:
        same = [
            c.name
            for c in self.constants
            if tuple(c.dims) == shape and c.data_type == TensorProto.FLOAT
        ]
        if same and self.random.random() < 0.3:
            return str(self.random.choice(same))
        value = self.random.uniform(0.5, 1.5, shape).astype(np.float32)
        if same and self.random.random() < 0.3:
            value = numpy_helper.to_array(self.constants[0]).copy()
            value = np.resize(value, shape)
        self.constants.append(numpy_helper.from_array(value, f"w{len(self.constants)}"))
        return self.constants[-1].name

    def integers(self, *values: int) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values), f"w{len(self.constants)}"))
        return self.constants[-1].name

    def value(self) -> str:
        recent = self.values[-3:] if self.random.random() < 0.7 else self.values
        return str(self.random.choice(recent))

    def constant(self) -> str:
        return str(self.random.choice(self.known))

    def convolution(self) -> None:
        groups = int(self.random.choice([1, 2, 4]))
        pointwise = self.random.random() < 0.5
        kernel, pads = (1, [0] * 4) if pointwise else (3, [1] * 4)
        weight = self.weight(_CHANNELS, _CHANNELS // groups, kernel, kernel)
        inputs = [self.value(), weight]
        if self.random.random() < 0.5:
            inputs.append(self.weight(_CHANNELS))
        op = "ConvTranspose" if self.random.random() < 0.3 else "Conv"
        scale = self.add(op, inputs, [], group=groups, pads=pads)
        self.add("Mul", [scale, self.scalar(0.2)], self.values)
        if self.random.random() < 0.6:
            self.values.append(scale)
            self.norm()

    def scalar(self, value: float) -> str:
        self.constants.append(numpy_helper.from_array(np.float32(value), f"w{len(self.constants)}"))
        return self.constants[-1].name

    def norm(self) -> None:
        statistics = [self.weight(_CHANNELS) for _ in range(4)]
        self.add("BatchNormalization", [self.value(), *statistics], self.values)

    def unary(self) -> None:
        op = str(self.random.choice(["Relu", "Tanh", "Sigmoid", "Neg"]))
        self.add(op, [self.value()], self.values)

    def binary(self) -> None:
        op = str(self.random.choice(["Add", "Sub", "Max"]))
        other = self.value() if self.random.random() < 0.5 else self.constant()
        self.add(op, [self.value(), other], self.values)

    def identity(self) -> None:
        if self.random.random() < 0.5:
            self.add("Identity", [self.value()], self.values)
        else:
            self.add("Identity", [self.constant()], self.known)

    def dropout(self) -> None:
        self.add("Dropout", [self.value()], self.values)

    def constant_node(self) -> None:
        value = self.random.uniform(0.5, 1.5, (1, _CHANNELS, 1, 1)).astype(np.float32)
        self.add("Constant", [], self.known, value=numpy_helper.from_array(value))

    def arranged(self) -> None:
        moved = self.add("Transpose", [self.constant()], [], perm=[1, 0, 2, 3])
        self.add("Reshape", [moved, self.integers(1, _CHANNELS, 1, 1)], self.known)

    def reshaped(self) -> None:
        source = self.value()
        shape = self.add("Shape", [source], [])
        batch = self.add("Gather", [shape, self.integers(0)], [])
        rest = self.add("Gather", [shape, self.integers(1, 2, 3)], [])
        target = self.add("Concat", [batch, rest], [], axis=0)
        flat = self.add("Flatten", [source], [])
        self.add("Reshape", [flat, target], self.values)

    def gelu(self) -> None:
        source = self.value()
        scaled = self.add("Div", [source, self.scalar(2**0.5)], [])
        erf = self.add("Erf", [scaled], [])
        added = self.add("Add", [erf, self.scalar(1)], [])
        product = self.add("Mul", [source, added], [])
        self.add("Mul", [product, self.scalar(0.5)], self.values)

    def flat(self) -> None:
        width = _CHANNELS * _SIZE * _SIZE
        flat = self.add("Flatten", [self.value()], [])
        gemm = self.add(
            "Gemm", [flat, self.weight(width, width), self.weight(width)], [],
            alpha=0.05, beta=float(self.random.choice([1.0, 0.5])),
        )  # fmt: skip
        statistics = [self.weight(width) for _ in range(4)]
        norm = self.add("BatchNormalization", [gemm, *statistics], [])
        shape = self.integers(-1, _CHANNELS, _SIZE, _SIZE)
        self.add("Reshape", [norm, shape], self.values)

    def branch(self) -> None:
        """If on a condition that the input decides; both branches capture."""
        source, known = self.value(), self.constant()
        total = self.add("ReduceSum", [source], [], keepdims=0)
        condition = self.add("Greater", [total, self.scalar(0)], [])
        bodies = {}
        for name, op in (("then_branch", "Add"), ("else_branch", "Sub")):
            node = helper.make_node(op, [source, known], ["inner"])
            output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["a", "b", "c", "d"])
            bodies[name] = helper.make_graph([node], name, [], [output])
        self.add("If", [condition], self.values, **bodies)


@pytest.mark.parametrize("seed", range(60))
def test_all_passes_on_a_random_graph(seed: int, assert_same: Callable[..., None]) -> None:
    before = _Drawing(seed).model(count=12)
    model = load(before)
    apply_passes(model, PASSES)
    after = model.to_proto()
    # A dozen layers of float32 sums in another order.
    assert_same(before, after, rtol=1e-4, atol=1e-5)
    reports = apply_passes(model, PASSES)
    assert not any(report.applied for report in reports)
    assert model.to_proto().SerializeToString(deterministic=True) == after.SerializeToString(
        deterministic=True
    )


def test_the_drawings_give_every_pass_something_to_do() -> None:
    applied: dict[str, int] = {}
    for seed in range(60):
        for report in apply_passes(load(_Drawing(seed).model(count=12)), PASSES):
            applied[report.name] = applied.get(report.name, 0) + len(report.applied)
    idle = {name for name, count in applied.items() if count < 5}
    assert idle == {"InlineFunctions", "FreezeDefaults"}
