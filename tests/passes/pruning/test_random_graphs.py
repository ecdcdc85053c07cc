"""The oracle over random graphs of all the operators that labels travel through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxq.coupling import Cut


class Builder:
    """A graph that grows; every picture has shape [2, channels, 8, 8]."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.pictures: list[tuple[str, int]] = []

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return names[0] if outputs == 1 else ",".join(names)

    def weight(self, *shape: int, positive: bool = False) -> str:
        value = self.generator.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5
        if positive:
            value = np.abs(value) + 0.5
        return self.constant(value.astype(np.float32))

    def constant(self, value: object) -> str:
        name = f"w{len(self.weights)}"
        array = np.asarray(value)
        if array.dtype.kind == "i":
            array = array.astype(np.int64)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, name: str, channels: int) -> None:
        self.pictures.append((name, channels))

    def pick(self) -> tuple[str, int]:
        # The last ones most often, so that graphs get deep.
        place = min(int(self.generator.exponential(1.5)), len(self.pictures) - 1)
        return self.pictures[-1 - place]

    def conv(self, source: str, read: int, made: int, kernel: int = 1, group: int = 1) -> str:
        weight = self.weight(made, read // group, kernel, kernel)
        bias = [self.weight(made)] if self.generator.random() < 0.5 else []
        pads = [kernel // 2] * 4
        return self.node("Conv", source, weight, *bias, pads=pads, group=group)


def _convolution(b: Builder) -> None:
    name, channels = b.pick()
    made = int(b.generator.choice([4, 6, 8, 12]))
    b.add(b.conv(name, channels, made, int(b.generator.choice([1, 3]))), made)


def _depthwise(b: Builder) -> None:
    name, channels = b.pick()
    times = int(b.generator.choice([1, 2]))
    b.add(b.conv(name, channels, channels * times, 3, channels), channels * times)


def _in_groups(b: Builder) -> None:
    name, channels = b.pick()
    if channels % 2 == 0:
        b.add(b.conv(name, channels, 8, 3, 2), 8)


def _transposed(b: Builder) -> None:
    name, channels = b.pick()
    weight = b.weight(channels, 6, 3, 3)
    b.add(b.node("ConvTranspose", name, weight, pads=[1, 1, 1, 1]), 6)


def _function(b: Builder) -> None:
    name, channels = b.pick()
    op = str(b.generator.choice(["Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Elu"]))
    b.add(b.node(op, name), channels)


def _slope(b: Builder) -> None:
    name, channels = b.pick()
    b.add(b.node("PRelu", name, b.weight(channels, 1, 1)), channels)


def _batch_norm(b: Builder) -> None:
    name, channels = b.pick()
    parameters = [b.weight(channels) for _ in range(3)]
    variance = b.weight(channels, positive=True)
    b.add(b.node("BatchNormalization", name, *parameters, variance), channels)


def _instance_norm(b: Builder) -> None:
    name, channels = b.pick()
    made = b.node("InstanceNormalization", name, b.weight(channels), b.weight(channels))
    b.add(made, channels)


def _group_norm(b: Builder) -> None:
    name, channels = b.pick()
    if channels % 2:
        return
    form = b.constant([0, 2, -1])
    flat = b.node("Reshape", name, form)
    normal = b.node(
        "InstanceNormalization",
        flat,
        b.constant(np.ones(2, np.float32)),
        b.constant(np.zeros(2, np.float32)),
    )
    b.add(b.node("Reshape", normal, b.node("Shape", name)), channels)


def _two(b: Builder) -> None:
    name, channels = b.pick()
    others = [n for n, c in b.pictures if c == channels]
    op = str(b.generator.choice(["Add", "Mul", "Sub", "Max"]))
    b.add(b.node(op, name, str(b.generator.choice(others))), channels)


def _constant(b: Builder) -> None:
    name, channels = b.pick()
    op = str(b.generator.choice(["Add", "Mul", "Sub", "Div"]))
    shape = [(channels, 1, 1), (1, channels, 1, 1), ()][int(b.generator.integers(3))]
    b.add(b.node(op, name, b.weight(*shape, positive=True)), channels)


def _gate(b: Builder) -> None:
    name, channels = b.pick()
    pooled = b.node("GlobalAveragePool", name)
    inner = b.node("Relu", b.conv(pooled, channels, 4))
    gate = b.node("Sigmoid", b.conv(inner, 4, channels))
    b.add(b.node("Mul", name, gate), channels)


def _concat(b: Builder) -> None:
    (one, first), (two, second) = b.pick(), b.pick()
    if first + second <= 24:
        b.add(b.node("Concat", one, two, axis=1), first + second)


def _split(b: Builder) -> None:
    name, channels = b.pick()
    if b.generator.random() < 0.5 and channels % 2 == 0:
        parts = [channels // 2] * 2
        names = b.node("Split", name, outputs=2, axis=1)
    else:
        if channels < 4:
            return
        parts = [channels - 3, 3]
        names = b.node("Split", name, b.constant(parts), outputs=2, axis=1)
    for made, width in zip(names.split(","), parts, strict=True):
        b.add(made, width)


def _slice(b: Builder) -> None:
    name, channels = b.pick()
    if channels < 4:
        return
    start = int(b.generator.integers(0, channels - 2))
    bounds = (b.constant([v]) for v in (start, -1, 1))
    if channels - 1 - start > 1:
        b.add(b.node("Slice", name, *bounds), channels - 1 - start)


def _gather(b: Builder) -> None:
    name, channels = b.pick()
    indices = b.generator.permutation(channels)[: max(2, channels - 1)]
    b.add(b.node("Gather", name, b.constant(indices), axis=1), len(indices))


def _shuffle(b: Builder) -> None:
    name, channels = b.pick()
    if channels % 2:
        return
    parted = b.node("Reshape", name, b.constant([0, 2, channels // 2, 8, 8]))
    turned = b.node("Transpose", parted, perm=[0, 2, 1, 3, 4])
    b.add(b.node("Reshape", turned, b.constant([2, channels, 8, 8])), channels)


def _pool(b: Builder) -> None:
    name, channels = b.pick()
    op = str(b.generator.choice(["MaxPool", "AveragePool"]))
    b.add(b.node(op, name, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), channels)


def _there_and_back(b: Builder) -> None:
    name, channels = b.pick()
    small = b.node("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])
    if b.generator.random() < 0.5:
        scales = b.constant(np.array([1, 1, 2, 2], np.float32))
        b.add(b.node("Resize", small, "", scales, mode="nearest"), channels)
    elif channels % 4 == 0:
        deep = b.node("SpaceToDepth", name, blocksize=2)
        b.add(b.node("DepthToSpace", b.conv(deep, channels * 4, 16), blocksize=2), 4)


def _pad(b: Builder) -> None:
    name, channels = b.pick()
    padded = b.node("Pad", name, b.constant([0, 1, 0, 0, 0, 0, 0, 0]))
    b.add(padded, channels + 1)


def _linear(b: Builder) -> None:
    """Channels last, through a gated feed-forward block and back."""
    name, channels = b.pick()
    rows = b.node("Transpose", name, perm=[0, 2, 3, 1])
    wide = b.node("MatMul", rows, b.weight(channels, 12))
    wide = b.node("Add", wide, b.weight(12))
    gate = b.node("Sigmoid", b.node("MatMul", rows, b.weight(channels, 12)))
    narrow = b.node("MatMul", b.node("Mul", wide, gate), b.weight(12, 8))
    b.add(b.node("Transpose", narrow, perm=[0, 3, 1, 2]), 8)


def _attention(b: Builder) -> None:
    """Two heads of three over the 64 places."""
    name, channels = b.pick()
    flat = b.node("Reshape", name, b.constant([0, 0, -1]))
    rows = b.node("Transpose", flat, perm=[0, 2, 1])
    heads = []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        made = b.node("MatMul", rows, b.weight(channels, 6))
        heads.append(
            b.node("Transpose", b.node("Reshape", made, b.constant([0, 0, 2, 3])), perm=order)
        )
    scores = b.node("Softmax", b.node("MatMul", heads[0], heads[1]), axis=-1)
    mixed = b.node("Transpose", b.node("MatMul", scores, heads[2]), perm=[0, 2, 1, 3])
    joined = b.node("Reshape", mixed, b.constant([0, 0, 6]))
    made = b.node("MatMul", joined, b.weight(6, 8))
    back = b.node("Transpose", made, perm=[0, 2, 1])
    b.add(b.node("Reshape", back, b.constant([2, 8, 8, 8])), 8)


def _recurrent(b: Builder) -> None:
    """A GRU over the 64 places."""
    name, channels = b.pick()
    flat = b.node("Reshape", name, b.constant([0, 0, -1]))
    rows = b.node("Transpose", flat, perm=[2, 0, 1])
    parameters = (b.weight(1, 18, channels), b.weight(1, 18, 6), b.weight(1, 36))
    made = b.node("Squeeze", b.node("GRU", rows, *parameters, hidden_size=6), b.constant([1]))
    back = b.node("Transpose", made, perm=[1, 2, 0])
    b.add(b.node("Reshape", back, b.constant([2, 6, 8, 8])), 6)


def _mean(b: Builder) -> None:
    name, channels = b.pick()
    axes = [[2, 3], [1]][int(b.generator.random() < 0.2)]
    b.add(b.node("Mul", name, b.node("ReduceMean", name, axes=axes)), channels)


_STEPS: tuple[Callable[[Builder], None], ...] = (
    _convolution, _convolution, _convolution, _depthwise, _in_groups, _transposed, _function,
    _function, _slope, _batch_norm, _batch_norm, _instance_norm, _group_norm, _two, _two, _constant,
    _gate, _concat, _concat, _split, _slice, _gather, _shuffle, _pool, _there_and_back, _pad,
    _linear, _attention, _recurrent, _mean,
)  # fmt: skip


def _graph(seed: int, steps: list[int]) -> onnx.ModelProto:
    b = Builder(seed)
    b.add(b.conv("x", 3, 8, 3), 8)
    for step in steps:
        _STEPS[step](b)
    name, channels = b.pictures[-1]
    read = b.conv(name, channels, 6)
    # A padded layer reads all else, so that no branch is dead.
    rest = [b.conv(n, c, 6, 3) for n, c in b.pictures[:-1:3]]
    for other in rest:
        read = b.node("Add", read, other)
    flat = b.node("Flatten", b.node("AveragePool", read, kernel_shape=[4, 4], strides=[4, 4]))
    hidden = b.node("Sigmoid", b.node("Gemm", flat, b.weight(24, 10), b.weight(10)))
    b.nodes.append(helper.make_node("Gemm", [hidden, b.weight(10, 4), b.weight(4)], ["y"]))
    graph = helper.make_graph(
        b.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        b.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


_graphs = st.builds(
    _graph,
    st.integers(0, 2**31),
    st.lists(st.integers(0, len(_STEPS) - 1), min_size=1, max_size=12),
)
_relaxed = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(_relaxed, max_examples=60)
@given(_graphs, st.sampled_from(Cut))
def test_pruned_equals_masked(oracle, source, cut):
    oracle(source, cut=cut, changes=False)


@pytest.mark.slow
@settings(_relaxed, max_examples=1500)
@given(_graphs, st.sampled_from(Cut))
def test_pruned_equals_masked_in_many_graphs(oracle, source, cut):
    oracle(source, cut=cut, changes=False)
