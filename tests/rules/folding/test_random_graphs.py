"""Random graphs of what affine maps go through: same outputs, nothing left the second time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import load
from onnxq.passes import Applied
from onnxq.rules import rewrite_all
from onnxq.rules.folding.collapse_affine import CollapseAffine
from onnxq.rules.folding.fold_affine import FoldAffine

_OPSET = 17
Shape = tuple[int, ...]


class _Builder:
    """A graph that grows at random."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, Shape] = {}
        self.newest = ""

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def floats(self, *shape: int) -> str:
        return self.constant(self.random.standard_normal(shape).astype(np.float32))

    def factors(self, *shape: int) -> str:
        """Away from 0; negative ones are rarer."""
        sizes = self.random.uniform(0.4, 2.0, shape)
        signs = np.where(self.random.random(shape) < (0.3 if self.chance(0.4) else 0.0), -1, 1)
        return self.constant((sizes * signs).astype(np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        name = f"t{len(self.shapes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{name}", **attributes))
        self.shapes[name] = shape
        self.newest = name
        return name

    def twin(self, shape: Shape) -> str:
        """Another tensor of this shape: an older one, or what a new convolution makes."""
        known = [n for n, s in self.shapes.items() if s == shape and n != self.newest]
        return str(self.random.choice(known)) if known and self.chance(0.8) else self.newest


def _constant_shape(b: _Builder, shape: Shape) -> Shape:
    """A scalar, a vector along some axis, or rarely more."""
    kind = b.random.random()
    if kind < 0.4:
        return () if b.chance(0.7) else (1,)
    if kind < 0.95:
        axis = 1 if b.chance(0.6) else b.number(0, len(shape))
        return (shape[axis],) + (1,) * (len(shape) - 1 - axis)
    return shape


def _arithmetic(b: _Builder, x: str, shape: Shape) -> None:
    op = str(b.random.choice(["Mul", "Mul", "Add", "Add", "Sub", "Div", "Neg"]))
    if op == "Neg":
        b.add(op, [x], shape)
        return
    own = _constant_shape(b, shape)
    known = b.factors(*own) if op in ("Mul", "Div") else b.floats(*own)
    # Division by what may come near 0 would magnify rounding without bound.
    swapped = b.chance(0.3) and op != "Div"
    b.add(op, [known, x] if swapped else [x, known], shape)


def _norm(b: _Builder, x: str, shape: Shape) -> None:
    c = shape[1]
    variance = b.constant(b.random.uniform(0.5, 2.0, c).astype(np.float32))
    b.add("BatchNormalization", [x, b.factors(c), b.floats(c), b.floats(c), variance], shape)


def _conv(b: _Builder, x: str, shape: Shape) -> None:
    if len(shape) != 4 or min(shape[2:]) < 2:
        return
    c = shape[1]
    groups = c if b.chance(0.3) else 2 if c % 2 == 0 and b.chance(0.3) else 1
    per_group = b.number(1, 3)
    kernel = b.number(1, 3)
    bias = [b.floats(groups * per_group)] if b.chance(0.5) else []
    if b.chance(0.25):
        weight = b.floats(c, per_group, kernel, kernel)
        size = (shape[2] + kernel - 1, shape[3] + kernel - 1)
        result = (shape[0], groups * per_group, *size)
        b.add("ConvTranspose", [x, weight, *bias], result, group=groups)
        return
    pad = b.number(0, 2)
    weight = b.floats(groups * per_group, c // groups, kernel, kernel)
    size = tuple(d + 2 * pad - kernel + 1 for d in shape[2:])
    pads = [pad] * 4
    result = (shape[0], groups * per_group, *size)
    b.add("Conv", [x, weight, *bias], result, group=groups, pads=pads)


def _matmul(b: _Builder, x: str, shape: Shape) -> None:
    k, n = shape[-1], b.number(2, 5)
    if b.chance(0.25) and len(shape) >= 3:
        m = b.number(2, 4)
        b.add("MatMul", [b.floats(m, shape[-2]), x], (*shape[:-2], m, k))
        return
    b.add("MatMul", [x, b.floats(k, n)], (*shape[:-1], n))


def _gemm(b: _Builder, x: str, shape: Shape) -> None:
    if len(shape) != 2:
        return
    rows, k = shape
    n, turned = b.number(2, 5), b.chance(0.5)
    biases: list[Shape] = [(n,), (1, n), (1,), (), (rows, 1), (rows, n)]
    weight = b.floats(n, k) if turned else b.floats(k, n)
    bias = [b.floats(*biases[b.number(0, 6)])] if b.chance(0.6) else []
    scalars = {"alpha": 0.5, "beta": 1.5} if b.chance(0.3) else {}
    b.add("Gemm", [x, weight, *bias], (rows, n), transB=int(turned), **scalars)


def _activation(b: _Builder, x: str, shape: Shape) -> None:
    op = str(
        b.random.choice(["Relu", "LeakyRelu", "Abs", "Clip", "PRelu", "HardSigmoid", "Sigmoid"])
    )
    extra = []
    if op == "Clip":
        low, high = b.constant(np.float32(-0.7)), b.constant(np.float32(0.9))
        extra = [[low, high], ["", high], [low]][b.number(0, 3)]
    if op == "PRelu":
        extra = [b.floats(*_constant_shape(b, shape))]
    b.add(op, [x, *extra], shape)


def _pool(b: _Builder, x: str, shape: Shape) -> None:
    if len(shape) != 4:
        return
    if b.chance(0.3):
        op = "GlobalMaxPool" if b.chance(0.5) else "GlobalAveragePool"
        b.add(op, [x], (*shape[:2], 1, 1))
        return
    if min(shape[2:]) < 2:
        return
    pad = b.number(0, 2)
    size = tuple(d + 2 * pad - 1 for d in shape[2:])
    counts = {"count_include_pad": b.number(0, 2)}
    op = "MaxPool" if b.chance(0.5) else "AveragePool"
    own = {} if op == "MaxPool" else counts
    b.add(op, [x], (*shape[:2], *size), kernel_shape=[2, 2], pads=[pad] * 4, **own)


def _reduce(b: _Builder, x: str, shape: Shape) -> None:
    if len(shape) < 3:
        return
    op = str(b.random.choice(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1"]))
    axis, keep = b.number(0, len(shape)), b.number(0, 2)
    result = list(shape)
    result[axis : axis + 1] = [1] if keep else []
    b.add(op, [x], tuple(result), axes=[axis - len(shape)], keepdims=keep)


def _reshape(b: _Builder, x: str, shape: Shape) -> None:
    kind = b.number(0, 5)
    if kind == 0:
        order = b.random.permutation(len(shape)).tolist()
        b.add("Transpose", [x], tuple(shape[i] for i in order), perm=order)
    elif kind == 1 and len(shape) < 5:
        axis = b.number(0, len(shape) + 1)
        b.add("Unsqueeze", [x, b.integers(axis)], (*shape[:axis], 1, *shape[axis:]))
    elif kind == 2 and 1 in shape and len(shape) > 2:
        axis = shape.index(1)
        b.add("Squeeze", [x, b.integers(axis)], (*shape[:axis], *shape[axis + 1 :]))
    elif kind == 3 and len(shape) > 2:
        first = b.number(0, len(shape) - 1)
        result = (*shape[:first], shape[first] * shape[first + 1], *shape[first + 2 :])
        b.add("Reshape", [x, b.integers(*result)], result)
    elif kind == 4 and len(shape) < 5:
        axes = [i for i, d in enumerate(shape) if d % 2 == 0]
        if axes:
            axis = axes[b.number(0, len(axes))]
            result = (*shape[:axis], 2, shape[axis] // 2, *shape[axis + 1 :])
            b.add("Reshape", [x, b.integers(*result)], result)


def _join(b: _Builder, x: str, shape: Shape) -> None:
    other = b.twin(shape)
    op = str(b.random.choice(["Add", "Mul", "Sub", "Max", "Min", "Concat", "Where", "Sum"]))
    if op == "Concat":
        axis = b.number(0, len(shape))
        parts = [x, other] if b.chance(0.7) else [other, b.floats(*shape), x]
        result = list(shape)
        result[axis] *= len(parts)
        b.add("Concat", parts, tuple(result), axis=axis)
    elif op == "Where":
        condition = b.constant(b.random.random(shape) < 0.5)
        b.add("Where", [condition, x, other], shape)
    else:
        b.add(op, [x, other] if b.chance(0.5) else [other, x], shape)


def _pick(b: _Builder, x: str, shape: Shape) -> None:
    axis = b.number(0, len(shape))
    length = shape[axis]
    if length < 2:
        return
    kind = b.number(0, 4)
    cut = b.number(1, length)
    if kind == 0:
        b.add("Split", [x, b.integers(cut, length - cut)], shape, axis=axis)
        name = b.newest
        b.nodes[-1].output.append(f"{name}b")
        b.shapes[name] = (*shape[:axis], cut, *shape[axis + 1 :])
        b.shapes[f"{name}b"] = (*shape[:axis], length - cut, *shape[axis + 1 :])
        if b.chance(0.5):
            b.newest = f"{name}b"
    elif kind == 1:
        for start, end in ((0, cut), (cut, length)):
            result = (*shape[:axis], end - start, *shape[axis + 1 :])
            b.add("Slice", [x, b.integers(start), b.integers(end), b.integers(axis)], result)
    elif kind == 2:
        ends = b.integers(-length - 1)
        inputs = [x, b.integers(-1), ends, b.integers(axis), b.integers(-1)]
        b.add("Slice", inputs, shape)
    elif len(shape) > 2:
        index = b.constant(np.array(b.number(-length, length), np.int64))
        b.add("Gather", [x, index], (*shape[:axis], *shape[axis + 1 :]), axis=axis)


def _spread(b: _Builder, x: str, shape: Shape) -> None:
    kind = b.number(0, 4)
    axis = b.number(0, len(shape))
    grown = list(shape)
    if kind == 0:
        mode = str(b.random.choice(["constant", "edge"]))
        pads = [0] * (2 * len(shape))
        pads[axis] = 1
        grown[axis] += 1
        value = [b.floats()] if mode == "constant" and b.chance(0.6) else []
        b.add("Pad", [x, b.integers(*pads), *value], tuple(grown), mode=mode)
    elif kind == 1:
        repeats = [1] * len(shape)
        repeats[axis] = 2
        grown[axis] *= 2
        b.add("Tile", [x, b.integers(*repeats)], tuple(grown))
    elif kind == 2:
        b.add("Expand", [x, b.integers(2, *shape[1:])], (2, *shape[1:])) if shape[0] == 1 else None
    elif len(shape) == 4 and min(shape[2:]) > 1:
        scales = b.constant(np.array([1, 1, 2, 2], np.float32))
        grown[2:] = [2 * d for d in shape[2:]]
        mode = str(b.random.choice(["nearest", "linear", "cubic"]))
        b.add("Resize", [x, "", scales], tuple(grown), mode=mode)


def _layer_norm(b: _Builder, x: str, shape: Shape) -> None:
    d = shape[-1]
    if d < 3:
        return
    bias = [b.floats(d)] if b.chance(0.5) else []
    b.add("LayerNormalization", [x, b.factors(d), *bias], shape, axis=-1)


_STEPS: list[tuple[float, Callable[[_Builder, str, Shape], None]]] = [
    (10, _arithmetic),
    (2, _norm),
    (4, _conv),
    (3, _matmul),
    (2, _gemm),
    (2, _activation),
    (1, _pool),
    (1, _reduce),
    (2, _reshape),
    (3, _join),
    (2, _pick),
    (1, _spread),
    (1, _layer_norm),
]


def _build(seed: int) -> tuple[onnx.ModelProto, Shape]:
    b = _Builder(seed)
    rank = b.number(2, 5)
    shape = tuple(b.number(1 if i == 0 else 2, 5) for i in range(rank))
    b.shapes["x"] = shape
    b.newest = "x"
    weights = np.array([w for w, _ in _STEPS])
    for _ in range(b.number(4, 14)):
        if b.chance(0.1):
            b.newest = str(b.random.choice(list(b.shapes)))
        current = b.shapes[b.newest]
        if int(np.prod(current)) > 4000:
            break
        _STEPS[int(b.random.choice(len(_STEPS), p=weights / weights.sum()))][1](
            b, b.newest, current
        )
    names = {b.newest} if b.nodes else set()
    if not names or b.newest == "x":
        b.add("Relu", ["x"], shape)
        names = {b.newest}
    if b.chance(0.3):
        names.add(str(b.random.choice([n for n in b.shapes if n != "x"])))
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, b.shapes[n]) for n in sorted(names)
    ]
    dynamic = b.chance(0.3)
    declared = [f"d{i}" if dynamic and i == 0 else d for i, d in enumerate(shape)]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, declared)
    graph = helper.make_graph(b.nodes, "g", [given], outputs, b.constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), shape


def _outputs(proto: onnx.ModelProto, feed: np.ndarray) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": feed}), strict=True))


def check(seed: int) -> int:
    """Simplify one graph; the number of applications."""
    proto, shape = _build(seed)
    feed = np.random.default_rng(seed + 1).standard_normal(shape).astype(np.float32)
    before = _outputs(proto, feed)
    if not all(np.isfinite(value).all() for value in before.values()):
        return 0
    model = load(proto)
    rules = (FoldAffine(), CollapseAffine())
    count = len(model.nodes)
    applied = [e for e in rewrite_all(model, rules) if isinstance(e, Applied)]
    assert len(model.nodes) <= count
    result = model.to_proto()
    onnx.checker.check_model(result)
    after = _outputs(result, feed)
    for name, value in before.items():
        assert after[name].shape == value.shape
        # Inner tensors may be larger than what is left of them.
        scale = 1e-4 * (np.abs(value).max(initial=0.0) + 1.0)
        np.testing.assert_allclose(after[name], value, 1e-4, scale, err_msg=f"seed {seed}")
    again = [e for e in rewrite_all(model, rules) if isinstance(e, Applied)]
    assert not again
    content = result.SerializeToString(deterministic=True)
    assert model.to_proto().SerializeToString(deterministic=True) == content
    return len(applied)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_outputs_stay(first: int) -> None:
    assert sum(check(seed) for seed in range(first, first + 20)) > 5


@pytest.mark.slow
def test_many_outputs_stay() -> None:
    assert sum(check(seed) for seed in range(1000, 4000)) > 1000
