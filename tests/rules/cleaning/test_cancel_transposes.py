"""Transposes moved through operators until they cancel, and never more of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.rules.cleaning.absorb_transposes import AbsorbTransposes
from onnxq.rules.cleaning.cancel_transposes import CancelTransposes

_CONSTANTS = """float half = {0.5}, float[5] bias = {1, 2, 3, 4, 5},
    float[1,1,1,5] full = {1, 2, 3, 4, 5},
  float[4,1] rows = {1, 2, 3, 4}, float lo = {-1}, float hi = {1}, int64[1] p1 = {1},
  int64[1] p3 = {3},
  int64[2] sizes = {2, 3}, int64[8] pads = {0, 0, 0, 1, 0, 0, 0, 2}, int64[1] ax = {3},
  float[1] sixth = {0.1}"""

_IN = "a = Transpose <perm = [0, 2, 3, 1]> (x) "
_OUT = " y = Transpose <perm = [0, 3, 1, 2]> (t)"


def _text(body: str, signature: str = "", opset: int = 13) -> str:
    signature = signature or "(float[N,5,3,4] x, float[N,5,3,4] z) => (float[A,B,C,D] y)"
    return f"""<ir_version: 8, opset_import: ["": {opset}]> g {signature} <{_CONSTANTS}>
    {{ {body} }}"""


_THROUGH = {
    "unary": "b = Relu(a) c = Clip(b, lo, hi) t = LeakyRelu <alpha = 0.2> (c)",
    "constants": "b = Add(a, bias) c = Mul(b, half) d = Sub(c, full) t = Add(rows, d)",
    "PRelu": "t = PRelu(a, bias)",
    "reads itself": "b = Sigmoid(a) t = Mul(a, b)",
    "Concat": "b = Neg(a) t = Concat <axis = 3> (a, b)",
    "Concat from the end": "b = Neg(a) t = Concat <axis = -2> (b, a)",
    "Softmax": "t = Softmax <axis = -1> (a)",
    "Pad": "t = Pad(a, pads)",
    "Slice": "t = Slice(a, p1, p3, ax)",
    "Reduce": "b = ReduceMax <axes = [1, 2]> (a) t = Mul(a, b)",
    "Reduce with an input": "b = ReduceSum(a, ax) t = Mul(a, b)",
    "Split": "b, c = Split <axis = 3> (a, sizes) d = Neg(c) t = Concat <axis = 3> (d, b)",
    "Where": "g = Greater(a, bias) t = Where(g, a, half)",
    "swish": "b = HardSigmoid(a) c = Mul(a, b) t = Mul(c, sixth)",
}


@pytest.mark.parametrize("name", _THROUGH)
def test_both_ends_cancel(name, applying):
    outcome = applying(_text(_IN + _THROUGH[name] + _OUT), CancelTransposes())
    assert "Transpose" not in outcome.ops
    assert outcome.model.outputs[0].name == "y"


def test_two_that_lead_in(applying):
    body = """b = Transpose <perm = [0, 2, 3, 1]> (z) c = Add(a, b) t = Relu(c)"""
    outcome = applying(_text(_IN + body + " y = Neg(t)"), CancelTransposes())
    assert outcome.ops.count("Transpose") == 1
    assert outcome.applied == ["1 Transpose(s) cancelled around Add_0, Relu_0"]


def test_another_order_leads_out(applying):
    body = """b = Relu(a) c = Transpose <perm = [0, 3, 1, 2]> (b) d = Neg(c)
      y = Transpose <perm = [3, 2, 1, 0]> (b) t = Exp(d)"""
    signature = "(float[N,5,3,4] x) => (float[A,B,C,D] y, float[E,F,G,H] t)"
    outcome = applying(_text(_IN + body, signature), CancelTransposes())
    assert outcome.ops.count("Transpose") == 1
    assert outcome.applied == ["2 Transpose(s) cancelled around Relu_0"]


def test_more_would_come_than_go(applying):
    body = "b = Add(a, z) t = Relu(b)" + _OUT
    text = _text(_IN + body, "(float[1,5,5,5] x, float[1,5,5,5] z) => (float[A,B,C,D] y)")
    outcome = applying(text, CancelTransposes())
    assert outcome.ops.count("Transpose") == 1
    body = "w = Add(z, z2) b = Mul(a, w) c = Mul(b, z2) d = Mul(c, z3) t = Relu(d)" + _OUT
    signature = (
        "(float[1,5,5,5] x, float[1,5,5,5] z, float[1,5,5,5] z2,"
        " float[1,5,5,5] z3) => (float[A,B,C,D] y)"
    )
    outcome = applying(_text(_IN + body, signature), CancelTransposes())
    assert outcome.ops.count("Transpose") == 2
    assert outcome.refused == ["2 Transposes would go, but 3 come"]


def test_no_more_elements_are_moved(applying):
    body = """r = ReduceMean <axes = [2, 3]> (x) a = Transpose <perm = [0, 2, 3, 1]> (r)
      b = Sigmoid(a) c = Mul(b, z) t = Relu(c) y = Transpose <perm = [0, 3, 1, 2]> (b)
      u = Transpose <perm = [0, 3, 1, 2]> (b) v = Neg(u) w = Add(v, y)"""
    signature = "(float[1,5,30,40] x, float[1,30,40,5] z) => (float[A,B,C,D] y, float[E,F,G,H] t)"
    outcome = applying(_text(body.replace("w = Add(v, y)", ""), signature), CancelTransposes())
    assert outcome.ops.count("Transpose") <= 3


def test_a_result_that_is_returned_bounds_the_region(applying):
    body = "b = Relu(a) c = Neg(b) t = Exp(c)" + _OUT
    signature = "(float[N,5,3,4] x) => (float[A,B,C,D] y, float[E,F,G,H] b)"
    outcome = applying(_text(_IN + body, signature), CancelTransposes())
    assert outcome.ops.count("Transpose") == 2


@pytest.mark.parametrize(
    "body",
    [
        "s = Shape(a) t = Reshape(a, s)",
        "t = BatchNormalization(a, b3, b3, b3, b3)",
        "t = Softmax <axis = 1> (a)",
        "b = ReduceMax <axes = [1], keepdims = 0> (a) c = Unsqueeze(b, p1) t = Add(a, c)",
        "t = Add(a, v)",
    ],
)
def test_operators_that_mind(body, applying):
    signature = "(float[N,3,3,3] x, float[3] v) => (float[A,B,C,D] y)"
    text = _text(_IN + body + _OUT, signature, 11 if "Softmax" in body else 13)
    text = text.replace("<float half", "<float[3] b3 = {1, 1, 1}, float half").replace(
        "float[4,1] rows = {1, 2, 3, 4}, ", ""
    )
    outcome = applying(text, CancelTransposes())
    assert outcome.ops.count("Transpose") == 2


def test_normalisations_stay_on_the_last_axis(applying):
    body = """m = ReduceMean <axes = [3]> (a) d = Sub(a, m) q = Mul(d, d)
    v = ReduceMean <axes = [3]> (q)
      s = Sqrt(v) t = Div(d, s)"""
    outcome = applying(_text(_IN + body + _OUT), CancelTransposes())
    assert outcome.refused == ["normalisations are recognised on the last axis only"]


class _Drawing:
    """Draws elementwise graphs with Transposes strewn in."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.values = [("x", (0, 1, 2)), ("z", (0, 1, 2))]

    def pick(self) -> tuple[str, tuple[int, ...]]:
        return self.values[
            int(self.random.integers(max(0, len(self.values) - 5), len(self.values)))
        ]

    def add(self, op: str, inputs: list[str], order: tuple[int, ...], **attributes: object) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.values.append((name, order))

    def step(self) -> None:
        name, order = self.pick()
        kind = self.random.integers(6)
        if kind < 2:
            perm = [int(i) for i in self.random.permutation(3)]
            self.add("Transpose", [name], tuple(order[i] for i in perm), perm=perm)
        elif kind == 2:
            self.add(str(self.random.choice(["Relu", "Neg", "Tanh"])), [name], order)
        elif kind == 3:
            shape = [int(self.random.choice([1, (2, 3, 4)[i]])) for i in order]
            shape = shape[int(self.random.integers(3)) :]
            value = self.random.standard_normal(shape).astype(np.float32)
            self.stored.append(numpy_helper.from_array(value, f"c{len(self.stored)}"))
            self.add("Add", [name, self.stored[-1].name], order)
        elif kind == 4:
            same = [n for n, o in self.values if o == order]
            self.add("Sub", [name, str(self.random.choice(same))], order)
        else:
            axis = int(self.random.integers(3))
            self.add("Softmax", [name], order, axis=axis)

    def model(self) -> onnx.ModelProto:
        for _ in range(18):
            self.step()
        names = [self.values[-1][0], self.values[-3][0]]
        orders = dict(self.values)
        outputs = [
            helper.make_tensor_value_info(n, 1, [(2, 3, 4)[i] for i in orders[n]]) for n in names
        ]
        inputs = [helper.make_tensor_value_info(n, 1, [2, 3, 4]) for n in "xz"]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.stored)
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed, applying):
    before = _Drawing(seed).model()
    outcome = applying(before, CancelTransposes())
    count = sum(n.op_type == "Transpose" for n in before.graph.node)
    after = outcome.ops.count("Transpose")
    assert after < count if outcome.applied else after == count


class TestAbsorb:
    @pytest.mark.parametrize(
        "gemm", ["Gemm(a, w)", "Gemm <transA = 1> (b, w)", "Gemm <transB = 1> (b, c)", "Gemm(b, d)"]
    )
    def test_gemm(self, gemm, applying):
        text = f"""<ir_version: 8, opset_import: ["": 13]>
          g (float[3,3] x, float[3,3] w) => (float[A,B] y) {{
            b = Relu(x) a = Transpose(b) c = Transpose(w) d = Transpose <perm = [1, 0]> (w)
            y = {gemm} }}"""
        outcome = applying(text, AbsorbTransposes())
        if "(a" in gemm or "c)" in gemm or "d)" in gemm:
            assert len(outcome.applied) == 1
        else:
            assert not outcome.report.events

    @pytest.mark.parametrize("opset", [13, 18])
    def test_reductions_that_drop_axes(self, opset, applying):
        axes = "ReduceMax <axes = [1, 2], keepdims = 0> (a)"
        text = _text(_IN + f"y = {axes}", "(float[N,5,3,4] x) => (float[N,5] y)", opset)
        if opset == 18:
            text = text.replace("<axes = [1, 2], keepdims = 0> (a)", "<keepdims = 0> (a, mid)")
            text = text.replace("<float half", "<int64[2] mid = {1, -2}, float half")
        assert applying(text, AbsorbTransposes()).ops == ["ReduceMax"]

    @pytest.mark.parametrize("attributes", ["axes = [0, 2]", "axes = [1, 2], keepdims = 1"])
    def test_reductions_that_keep_the_order(self, attributes, applying):
        text = _text(_IN + f"y = ReduceMax <{attributes}> (a)", "(float[2,5,3,4] x) => (float y)")
        text = text.replace("axes = [0, 2]", "axes = [0, 2], keepdims = 0")
        outcome = applying(text, AbsorbTransposes(), runs=False)
        assert outcome.ops == ["Transpose", "ReduceMax"]
        kept = "keepdims = 1" in attributes
        reason = "keeps the axes that it reduces" if kept else "leaves the axes in the order [2, 1]"
        assert outcome.refused == [reason]

    def test_axes_that_are_not_known(self, applying):
        text = _text(
            _IN + "y = ReduceSum <keepdims = 0> (a, given)",
            "(float[2,5,3,4] x, int64[1] given) => (float[A,B,C] y)",
        )
        outcome = applying(text, AbsorbTransposes())
        assert outcome.refused == ["its axes are computed at run time"]
        text = """<ir_version: 8, opset_import: ["": 13]>
          g (float[2,3] x, int64[K] s) => (float y) {
            r = Reshape(x, s) a = Transpose(r) y = ReduceMax <axes = [0], keepdims = 0> (a) }"""
        outcome = applying(text, AbsorbTransposes(), runs=False)
        assert outcome.refused == ["the number of axes of 'r' is not known"]

    def test_a_reduction_of_no_axes(self, applying):
        body = "y = ReduceSum <keepdims = 0, noop_with_empty_axes = 1> (a)"
        text = _text(_IN + body, "(float[2,5,3,4] x) => (float[2,3,4,5] y)")
        outcome = applying(text, AbsorbTransposes(), runs=False)
        assert outcome.refused == ["reduces no axes"]


def test_transposes_that_move_no_data_do_not_count(applying):
    """A gate of one element per channel is transposed for nothing."""
    body = """r = ReduceMean <axes = [2, 3]> (x) g = Transpose <perm = [0, 2, 3, 1]> (r)
      h = Mul(a, g) t = Relu(h)"""
    outcome = applying(_text(_IN + body + _OUT), CancelTransposes())
    assert "Transpose" not in outcome.ops
    body = """r = ReduceMean <axes = [2, 3]> (x) b = Transpose <perm = [0, 2, 3, 1]> (r)
      c = Sigmoid(b) d = Add(c, bias) e = Transpose <perm = [0, 3, 1, 2]> (d) y = Mul(e, x)"""
    outcome = applying(_text(body), CancelTransposes())
    assert "Transpose" not in outcome.ops
