"""Free dimensions followed through models, against what the engine computes."""

from __future__ import annotations

from itertools import count

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.parser import parse_model

from onnxq.engine import open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import load
from onnxq.passes import LowerConstants, apply_passes
from onnxq.passes.dimensions import Known, know

_CONSTANTS = """int64 i0 = {0}, int64 i1 = {1}, int64[1] a0 = {0}, int64[1] a1 = {1},
    int64[1] a2 = {2},
  int64[1] rest = {-1}, int64[2] two = {0, 1}, int64[3] ones = {1, 1, 1}, int64 zero = {0},
  int64[3] minus = {-1, -1, -1}, int64[1] four = {4}, int64[1] end = {9223372036854775807},
  float[2,4,3,3] k3 = {ZEROS72}, float[2,4,1,1] k1 = {0, 0, 0, 0, 0, 0, 0, 0},
  float[4] one4 = {1, 1, 1, 1},
  int64[1] three = {3},
  float half = {0.5}, int64[4] pads = {0, 1, 0, 2}, float[4] twice = {1, 1, 2, 2}"""
_CONSTANTS = _CONSTANTS.replace("ZEROS72", ", ".join("0" * 72))


def _known(body: str, signature: str = "(float[N,M,4] x) => (float[A] t)") -> Known:
    model = load(
        parse_model(
            f"""<ir_version: 8, opset_import: ["": 17]> g {signature} <{_CONSTANTS}> {{ {body} }}"""
        )
    )
    return know(model)


_SHAPES = {
    "elementwise": ("t = Relu(x)", ("N", "M", 4)),
    "broadcast": ("s = ReduceMax <axes = [0]> (x) t = Add(s, x)", ("N", "M", 4)),
    "Transpose": ("t = Transpose(x)", (4, "M", "N")),
    "Reshape that copies": ("c = Concat <axis = 0> (a0, rest) t = Reshape(x, c)", ("N", "4·M")),
    "Reshape by -1": ("c = Concat <axis = 0> (rest, four) t = Reshape(x, c)", ("M·N", 4)),
    "Reshape by Shape": (
        "s = Shape(x) m = Gather(s, a1) n = Gather(s, a0) c = Concat <axis = 0> (m, n, four) "
        "t = Reshape(x, c)",
        ("M", "N", 4),
    ),
    "Flatten": ("t = Flatten <axis = 2> (x)", ("M·N", 4)),
    "Squeeze": ("u = Unsqueeze(x, a1) t = Squeeze(u, a1)", ("N", "M", 4)),
    "Slice of all": ("t = Slice(x, a0, end, a1)", ("N", "M", 4)),
    "Slice to the length": (
        "s = Shape(x) m = Gather(s, a1) t = Slice(x, a0, m, a1)",
        ("N", "M", 4),
    ),
    "Slice of a part": ("t = Slice(x, a1, end, a1)", ("N", "Slice[M,1,2147483647,1]", 4)),
    "Range": ("s = Shape(x) m = Gather(s, i1) t = Range(zero, m, i1)", ("M",)),
    "Expand": ("s = Shape(x) w = Identity(half) t = Expand(w, s)", ("N", "M", 4)),
    "ConstantOfShape": ("s = Shape(x) t = ConstantOfShape(s)", ("N", "M", 4)),
    "Tile": ("t = Tile(x, ones)", ("N", "M", 4)),
    "Gather": ("t = Gather <axis = 1> (x, two)", ("N", 2, 4)),
    "MatMul": ("y = Transpose <perm = [0, 2, 1]> (x) t = MatMul(x, y)", ("N", "M", "M")),
    "Concat": ("t = Concat <axis = 1> (x, x)", ("N", "Concat[M,M]", 4)),
    "Reduce": ("t = ReduceMean <axes = [1]> (x)", ("N", 1, 4)),
    "torch's expand": (
        """s = Shape(x) n = Gather(s, a0) c = Concat <axis = 0> (n, rest, four) e = Equal(c, minus)
           w = Where(e, ones, c) r = ReduceMax <axes = [0, 1]> (x) t = Expand(r, w)""",
        ("N", 1, 4),
    ),
}


@pytest.mark.parametrize("name", _SHAPES)
def test_shapes(name):
    body, shape = _SHAPES[name]
    assert _known(body).types["t"][1] == shape


_IMAGE = "(float[N,4,H,W] x) => (float[A] t)"


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ("t = Conv <pads = [1, 1, 1, 1]> (x, k3)", ("N", 2, "H", "W")),
        ("t = Conv(x, k1)", ("N", 2, "H", "W")),
        ('t = Conv <auto_pad = "SAME_UPPER"> (x, k3)', ("N", 2, "H", "W")),
        (
            "t = Conv <strides = [2, 1], pads = [1, 1, 1, 1]> (x, k3)",
            ("N", 2, "Slide[H,2,2,2,0]", "W"),
        ),
        ("t = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)", ("N", 4, "H", "W")),
        ("t = Resize(x, , twice)", ("N", 4, "2·H", "2·W")),
        (
            "t = BatchNormalization(x, one4, one4, one4, one4)",
            ("N", 4, "H", "W"),
        ),
        ("t = GlobalAveragePool(x)", ("N", 4, 1, 1)),
    ],
)
def test_windows(body, shape):
    assert _known(body, _IMAGE).types["t"][1] == shape


_CONTENTS = {
    "Shape": ("t = Shape(x)", ("N", "M", 4)),
    "part of Shape": ("t = Shape <start = 1> (x)", ("M", 4)),
    "Size": ("t = Size(x)", ("4·M·N",)),
    "arithmetic": ("s = Shape(x) t = Mul(s, s)", ("N·N", "M·M", 16)),
    "division": ("s = Shape(x) t = Div(s, four)", ("Div[N,4]", "Div[M,4]", 1)),
    "sums": ("s = Shape(x) t = Add(s, a1)", ("Add[1,N]", "Add[1,M]", 5)),
    "nothing added": ("s = Shape(x) t = Add(s, a0)", ("N", "M", 4)),
    "differences": ("s = Shape(x) t = Sub(s, a1)", ("Sub(N,1)", "Sub(M,1)", 3)),
    "Max": ("s = Shape(x) t = Max(s, a0)", ("N", "M", 4)),
    "Min": ("s = Shape(x) m = Mul(s, s) t = Min(s, a1)", ("Min[1,N]", "Min[1,M]", 1)),
    "Equal": ("s = Shape(x) t = Equal(s, minus)", (0, 0, 0)),
    "not known to be equal": ("s = Shape(x) t = Equal(s, four)", (None, None, 1)),
    "cast": ("s = Shape(x) t = Cast <to = 6> (s)", ("N", "M", 4)),
    "product": ("s = Shape(x) t = ReduceProd <keepdims = 0> (s)", ("4·M·N",)),
    "backwards": ("s = Shape(x) t = Slice(s, rest, low, a0, rest)", (4, "M", "N")),
    "negative quotient": (
        "s = Shape(x) m = Sub(a0, s) t = Div(m, three)",
        ("Div(Sub(0,N),3)", "Div(Sub(0,M),3)", -1),
    ),
}


@pytest.mark.parametrize("name", _CONTENTS)
def test_contents(name):
    body, content = _CONTENTS[name]
    known = _known(f"low = Mul(end, rest) {body}", "(float[N,M,4] x) => (int64[A] t)")
    assert known.contents["t"] == content


def test_floats_and_matrices_have_no_content():
    known = _known(
        """s = Shape(x) f = Cast <to = 1> (s) h = Mul(f, half) b = Cast <to = 9> (s)
           u = Unsqueeze(s, a0) t = Neg(h)"""
    )
    assert not {"f", "h", "u", "t"} & set(known.contents)
    assert known.contents["b"] == (None, None, None)


def test_names_that_say_nothing():
    """Exporters write '?' or -1 for whatever is free."""
    proto = parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
          g (float[N,H,H] x, float[N,K] y) => (int64[A] t) { s = Shape(x) t = Shape(y) }"""
    )
    known = know(load(proto))
    assert known.contents["s"] == ("N", "x.1", "x.2")
    assert known.contents["t"] == ("N", "K")
    dimensions = proto.graph.input[0].type.tensor_type.shape.dim
    dimensions[0].dim_value, dimensions[1].dim_param = -1, "?"
    dimensions[2].Clear()
    assert know(load(proto)).contents["s"] == ("x.0", "x.1", "x.2")


def test_terms_do_not_grow_with_depth():
    pools = (f"t{i + 1} = MaxPool <kernel_shape = [2, 1]> (t{i})" for i in range(60))
    known = _known(
        f"t0 = Relu(x) {' '.join(pools)} t = Neg(t60)", "(float[N,4,H,W] x) => (float[A] t)"
    )
    shape = known.types["t"][1]
    assert shape is not None
    assert shape[3] == "W"
    assert len(str(shape[2])) < 40


_STEPS = [
    "Transpose <perm = [1, 2, 0]> ({0})", "Relu({0})", "Add({0}, {1})", "Reshape({0}, flat)",
    "Slice({0}, a1, end, a1)", "Concat <axis = 1> ({0}, {0})", "ReduceMax <axes = [1]> ({0})",
    "MatMul({0}, {0})", "Expand({0}, {1}s)", "Tile({0}, twos)", "Gather <axis = 2> ({0}, two)",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_random_models_against_the_engine(seed):
    """Every term and number found is what the engine computes, for several sizes."""
    random = np.random.default_rng(seed)
    names, lines, number = ["x"], ["xs = Shape(x)"], count()
    for _ in range(14):
        step = str(random.choice(_STEPS))
        first, second = (str(n) for n in random.choice(names, 2))
        name = f"t{next(number)}"
        trial = [*lines, f"{name} = {step.format(first, second)}", f"{name}s = Shape({name})"]
        if _outputs(trial, 4, 6) is not None:
            names.append(name)
            lines = trial
    known = know(load(_model(lines)))
    meaning: dict[tuple[object, int, int], int] = {}
    for n, m in ((4, 6), (2, 3), (5, 5)):
        found = _outputs(lines, n, m)
        for name, value in (found or {}).items():
            content = known.contents.get(name)
            assert content is not None
            for term, size in zip(content, value.tolist(), strict=True):
                if isinstance(term, int):
                    assert term == size
                elif term is not None:
                    assert meaning.setdefault((term, n, m), size) == size


def _model(lines: list[str]) -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[N,M,4] x) => (float[A] xs)
      <int64[2] two = {{0, 1}}, int64[3] flat = {{0, -1, 2}}, int64[1] a1 = {{1}},
       int64[3] twos = {{1, 2, 1}}, int64[1] end = {{9223372036854775807}}>
       {{ {" ".join(lines)} }}"""
    proto = parse_model(text)
    del proto.graph.output[:]
    shapes = [n.output[0] for n in proto.graph.node if n.op_type == "Shape"]
    proto.graph.output.extend(helper.make_tensor_value_info(s, 7, [None]) for s in shapes)
    return proto


def _outputs(lines: list[str], n: int, m: int) -> dict[str, np.ndarray] | None:
    """The shapes that the engine finds; None where a step does not fit them."""
    try:
        session = open_session(_model(lines), threads=1)
        return dict(runner(session)({"x": np.zeros((n, m, 4), np.float32)}))
    except ModelError:
        return None


def test_constants_in_nodes_are_seen_once_lowered():
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x) => (float[A,B] y) {
      c = Constant <value_ints = [-1, 2]> () y = Reshape(x, c) }"""
    model = load(parse_model(text))
    apply_passes(model, [LowerConstants()])
    assert know(model).types["y"][1] == ("2·N", 2)
