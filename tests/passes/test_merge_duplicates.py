"""What is computed twice is computed once, and nothing else is merged."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.graph import load
from onnxq.passes import MergeDuplicates, apply_passes

_CONSTANTS = """float half = {0.5}, float again = {0.5}, float other = {0.25}, int64[1] i0 = {0},
  int64[1] j0 = {0}, int64 s0 = {0}, int64[2] sizes = {1, 2}, float[3] w = {1, 2, 3}"""


def _text(body: str, signature: str = "(float[N,3] x) => (float[A,B] y)", opset: int = 18) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]> g {signature} <{_CONSTANTS}> {{
      {body} }}"""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = Exp(x) b = Exp(x) y = Add(a, b)", ["Exp", "Add"]),
        ("a = Mul(x, half) b = Mul(x, again) y = Add(a, b)", ["Mul", "Add"]),
        (
            "a = Exp(x) b = Exp(x) c = Neg(a) d = Neg(b) y = Add(c, d)",
            ["Exp", "Neg", "Add"],
        ),
        (
            "a = Softmax <axis = 1> (x) b = Softmax <axis = 1> (x) y = Sub(a, b)",
            ["Softmax", "Sub"],
        ),
        (
            """a, b = Split <axis = 1> (x, sizes) c, d = Split <axis = 1> (x, sizes)
               e = Concat <axis = 1> (a, d) f = Concat <axis = 1> (c, b) y = Add(e, f)""",
            ["Split", "Concat", "Add"],
        ),
    ],
)
def test_merged(body, left, applying):
    assert applying(_text(body), MergeDuplicates()).ops == left


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul(x, half) b = Mul(x, other) y = Add(a, b)",
        "a = Softmax <axis = 1> (x) b = Softmax <axis = 0> (x) y = Sub(a, b)",
        "a = Softmax <axis = 1> (x) b = Softmax(x) y = Sub(a, b)",
        "a = RandomNormalLike(x) b = RandomNormalLike(x) y = Sub(a, b)",
        "a = Sub(x, w) b = Sub(w, x) y = Add(a, b)",
    ],
)
def test_what_differs_stays(body, applying):
    outcome = applying(_text(body), MergeDuplicates(), runs="Random" not in body)
    assert not outcome.report.events


def test_quantized_twins_stay(applying):
    body = """a = QuantizeLinear(x, half) b = QuantizeLinear(x, half) c = DequantizeLinear(a, half)
      d = DequantizeLinear(b, half) y = Add(c, d)"""
    assert not applying(_text(body), MergeDuplicates()).applied


def test_names_of_outputs_stay(applying):
    signature = "(float[N,3] x) => (float[A,B] y, float[C,D] z)"
    outcome = applying(_text("y = Exp(x) z = Exp(x)", signature), MergeDuplicates())
    assert outcome.refused == ["equals Exp_0, but its result is returned by name"]
    outcome = applying(_text("y = Exp(x) a = Exp(x) z = Neg(a)", signature), MergeDuplicates())
    assert outcome.ops == ["Exp", "Neg"]


def test_optional_results(applying):
    text = """<ir_version: 8, opset_import: ["": 18]>
      g (float[1,1,4,4] x) => (float[A,B,C,D] y, int64[E,F,G,H] i) {
        a = MaxPool <kernel_shape = [2, 2]> (x) b, i = MaxPool <kernel_shape = [2, 2]> (x)
        y = Sub(a, b) }"""
    assert applying(text, MergeDuplicates()).ops == ["MaxPool", "MaxPool", "Sub"]


def test_readers_in_bodies_follow(applying):
    text = _text(
        """a = Exp(x) b = Exp(x)
           y = If(c) <then_branch = p () => (float[A,B] r) { r = Add(a, b) },
                      else_branch = q () => (float[A,B] s) { s = Sub(a, b) }>""",
        "(float[2,3] x, bool c) => (float[2,3] y)",
    )
    assert applying(text, MergeDuplicates()).ops == ["Exp", "If"]


def test_control_flow_stays(applying):
    branch = """If(c) <then_branch = p{0} () => (float[A,B] r{0}) {{ r{0} = Neg(x) }},
                 else_branch = q{0} () => (float[A,B] s{0}) {{ s{0} = Exp(x) }}>"""
    text = _text(
        f"a = {branch.format(1)} b = {branch.format(2)} y = Add(a, b)",
        "(float[2,3] x, bool c) => (float[2,3] y)",
    )
    assert applying(text, MergeDuplicates()).ops == ["If", "If", "Add"]


def test_equal_dimensions_whatever_they_are_read_from(applying):
    body = """a = Relu(x) s = Shape(x) n = Gather(s, s0) t = Shape(a) k = Slice(t, i0, e1)
      m = Squeeze(k) p = Add(n, m) q = Cast <to = 1> (p) y = Mul(a, q)"""
    text = _text(body).replace("<float half", "<int64[1] e1 = {1}, float half")
    outcome = applying(text, MergeDuplicates())
    assert outcome.ops == ["Relu", "Shape", "Gather", "Add", "Cast", "Mul"]
    assert "always equals 'n'" in outcome.applied


def test_shapes_of_other_types_are_other_tensors(applying):
    body = """s = Shape(x) c = Cast <to = 6> (s) d = Cast <to = 1> (c) e = Cast <to = 1> (s)
      f = Sub(d, e) y = Mul(x, f)"""
    signature = "(float[2,N] x) => (float[A,B] y)"
    outcome = applying(_text(body, signature), MergeDuplicates(), runs=False)
    assert outcome.ops.count("Cast") == 3


def test_time_is_linear_in_nodes():
    def model(count: int) -> onnx.ModelProto:
        nodes, previous = [], "x"
        for index in range(count):
            twins = [f"a{index}", f"b{index}"]
            nodes.extend(helper.make_node("Relu", [previous], [twin]) for twin in twins)
            nodes.append(helper.make_node("Add", twins, [f"c{index}"]))
            previous = f"c{index}"
        value = [helper.make_tensor_value_info(n, 1, [3]) for n in ("x", previous)]
        stored = [numpy_helper.from_array(np.ones(3, np.float32), "w")]
        graph = helper.make_graph(nodes, "g", value[:1], value[1:], stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    def seconds(count: int) -> float:
        opened = load(model(count))
        start = time.process_time()
        apply_passes(opened, [MergeDuplicates()])
        assert len(opened.nodes) == 2 * count
        return time.process_time() - start

    seconds(50)
    assert seconds(2000) < 12 * seconds(500) + 0.2
