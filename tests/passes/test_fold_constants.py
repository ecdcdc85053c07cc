"""What depends on constants alone is computed once; what must stay says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.graph import read
from onnxq.passes import FoldConstants, LowerConstants

Applying = Callable[..., Any]


def _text(body: str, constants: str, outputs: str = "float[2, 3] y", opset: int = 18) -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g (float[2, 3] x) => ({outputs}) <{constants}> {{ {body} }}"""


def _with_weight(
    nodes: list[onnx.NodeProto],
    weight: np.ndarray,
    *others: onnx.TensorProto,
    columns: int = 2,
) -> onnx.ModelProto:
    """x [2, columns] meets a weight; the output is y."""
    value = [helper.make_tensor_value_info(n, 1, [2, c]) for n, c in (("x", columns), ("y", None))]
    stored = [numpy_helper.from_array(weight, "w"), *others]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_chain_is_computed_in_one_go(applying: Applying) -> None:
    body = """t = Transpose(w) r = Reshape(t, s) n = Neg(r) y = Add(x, n)"""
    outcome = applying(
        _text(body, "float[3, 2] w = {1, 2, 3, 4, 5, 6}, int64[2] s = {2, 3}"), FoldConstants()
    )
    assert outcome.ops == ["Add"]
    assert outcome.applied == ["computed 'n' once and for all"]
    (held,) = outcome.model.constants
    np.testing.assert_array_equal(read(held), [[-1, -3, -5], [-2, -4, -6]])
    assert held.name == "n"


def test_a_large_weight_behind_several_operators_is_found(applying: Applying) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("Reshape", ["t", "s"], ["r"]),
        helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Gemm", ["x", "i"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([2, -1]), "s")
    weight = np.random.default_rng(0).standard_normal((200, 300)).astype(np.float32)
    model = _with_weight(nodes, weight, shape)
    assert applying(model, FoldConstants()).ops == ["Gemm"]


def test_results_read_in_bodies_are_found(applying: Applying) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[2] x, bool c) => (float[2] y) <float[2] w = {1, 2}> {
        n = Neg(w)
        y = If(c) <then_branch = p () => (float[2] a) { a = Add(x, n) },
                   else_branch = q () => (float[2] b) { b = Sub(x, n) }> }"""
    assert applying(text, FoldConstants()).ops == ["If"]


def test_one_of_several_outputs(applying: Applying) -> None:
    body = "a, b = Split <axis = 0, num_outputs = 2> (w) y = Add(x, a)"
    outcome = applying(
        _text(body, "float[2, 3] w = {1, 2, 3, 4, 5, 6}", "float[2, 3] y, float[1, 3] b"),
        FoldConstants(),
    )
    assert outcome.ops == ["Split", "Add"]
    assert outcome.model.nodes[1].inputs[1].name == "a"


def test_outputs_of_the_model_stay_computed(applying: Applying) -> None:
    body = "n = Neg(w) y = Add(x, n)"
    outcome = applying(
        _text(body, "float[3] w = {1, 2, 3}", "float[2, 3] y, float[3] n"), FoldConstants()
    )
    assert outcome.ops == ["Neg", "Add"]


def test_quantized_weights_stay_quantized(applying: Applying) -> None:
    body = "q = QuantizeLinear(w, s, z) d = DequantizeLinear(q, s, z) t = Neg(d) y = Add(x, t)"
    constants = "float[3] w = {1, 2, 3}, float s = {0.5}, int8 z = {0}"
    outcome = applying(_text(body, constants), FoldConstants())
    assert outcome.ops == ["QuantizeLinear", "DequantizeLinear", "Neg", "Add"]
    assert not outcome.report.events


@pytest.mark.parametrize(
    "body",
    [
        "r = RandomNormalLike(w) y = Add(x, r)",
        "r = RandomUniformLike(w) y = Add(x, r)",
        "r = Bernoulli(w) y = Add(x, r)",
        "r = Dropout(w) y = Add(x, r)",
    ],
)
def test_random_operators_are_never_computed(body: str, applying: Applying) -> None:
    outcome = applying(_text(body, "float[3] w = {0.5, 0.5, 0.5}"), FoldConstants(), runs=False)
    assert len(outcome.ops) == 2
    assert not outcome.report.events


def test_defaults_that_callers_may_override_stay(applying: Applying) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[3] x, float[3] w) => (float[3] y) <float[3] w = {1, 2, 3}> {
        n = Neg(w) y = Add(x, n) }"""
    assert applying(text, FoldConstants()).ops == ["Neg", "Add"]


_NARROW = [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4]


@pytest.mark.parametrize("arranged", [False, True])
@pytest.mark.parametrize("kind", _NARROW, ids=lambda k: k.__name__)
def test_narrow_weights_stay_narrow(kind: type, arranged: bool, applying: Applying) -> None:
    weight = np.ones((64, 64), np.float32).astype(kind)
    nodes = [
        helper.make_node("Cast", ["t" if arranged else "w"], ["c"], name="cast", to=1),
        helper.make_node("MatMul", ["x", "c"], ["y"]),
    ]
    if arranged:
        nodes.insert(0, helper.make_node("Transpose", ["w"], ["t"]))
    outcome = applying(_with_weight(nodes, weight), FoldConstants(), runs=False)
    assert "a narrow weight would be stored in a wide type" in outcome.refused
    (held,) = outcome.model.constants
    assert held.dtype == kind


@pytest.mark.parametrize("kind", _NARROW, ids=lambda k: k.__name__)
def test_arranging_narrow_weights_keeps_their_type(kind: type, applying: Applying) -> None:
    """What the engine cannot compute, or hands out as another type, stays."""
    weight = (np.arange(64 * 64) % 5).reshape(64, 64).astype(np.float32).astype(kind)
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("Cast", ["t"], ["c"], to=1),
        helper.make_node("MatMul", ["x", "c"], ["y"]),
    ]
    outcome = applying(_with_weight(nodes, weight), FoldConstants(), runs=False)
    (held,) = outcome.model.constants
    assert held.dtype == kind
    expected = weight.T if outcome.ops == ["Cast", "MatMul"] else weight
    assert read(held).astype(float).tolist() == expected.astype(float).tolist()


def test_half_weights_are_widened_when_asked(applying: Applying) -> None:
    weight = np.ones((64, 64), np.float16)
    nodes = [
        helper.make_node("Cast", ["w"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "c"], ["y"]),
    ]
    outcome = applying(_with_weight(nodes, weight, columns=64), FoldConstants(widen_weights=True))
    assert outcome.ops == ["MatMul"]
    assert [c.dtype for c in outcome.model.constants] == [np.float32]


@pytest.mark.parametrize("size", [8, 4096])
def test_results_much_larger_than_their_source_are_refused(size: int, applying: Applying) -> None:
    nodes = [
        helper.make_node("Expand", ["w", "s"], ["e"], name="grow"),
        helper.make_node("MatMul", ["x", "e"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([size, 8]), "s")
    model = _with_weight(nodes, np.ones((1, 8), np.float32), shape, columns=size)
    outcome = applying(model, FoldConstants())
    if size == 8:
        assert outcome.ops == ["MatMul"]
    else:
        assert outcome.refused == ["its result has 131072 bytes: more than before"]
        assert outcome.ops == ["Expand", "MatMul"]


def test_growth_is_refused_where_only_the_engine_knows_the_size(applying: Applying) -> None:
    """NonZero has as many results as its input has other values than 0."""
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (int64 x) => (int64[K] y) <float[3] w = {1, 2, 3}, int64[2] r = {4, 9000}> {
        n = NonZero(w) t = Tile(n, r) y = Gather(t, x) }"""
    outcome = applying(text, FoldConstants())
    assert outcome.refused == ["its result has 864000 bytes: more than before"]
    assert outcome.ops == ["NonZero", "Tile", "Gather"]


def test_only_the_end_of_a_chain_must_be_small(applying: Applying) -> None:
    body = "n = NonZero(w) t = Tile(n, r) c = Cast <to = 1> (t) m = ReduceSum(c) y = Add(x, m)"
    text = _text(body, "float[3] w = {1, 2, 3}, int64[2] r = {4, 9000}")
    assert applying(text, FoldConstants()).ops == ["Add"]


def test_one_operator_that_the_engine_cannot_run_does_not_hold_up_the_others(
    applying: Applying,
) -> None:
    body = """n = Neg(w) b = Cast <to = 16> (w) m = Neg(b) c = Cast <to = 1> (m)
      t = Add(x, n) y = Add(t, c)"""
    # Neg has no kernel for bfloat16 in the engine.
    outcome = applying(_text(body, "float[3] w = {1, 2, 3}"), FoldConstants(), runs=False)
    assert "computed 'n' once and for all" in outcome.applied
    if "Neg" in outcome.ops:
        assert outcome.refused == ["the engine cannot compute it alone"]


@pytest.mark.parametrize(
    ("constant", "kind"),
    [
        ("value_float = 1.5", np.float32),
        ("value_floats = [1.5, 2.5, 0.1]", np.float32),
        ("value_int = 3", np.int64),
        ("value_ints = [1, 2, 3]", np.int64),
        ("value = double[3] {0.1, 0.2, 0.3}", np.float64),
    ],
)
def test_constant_nodes_keep_their_exact_type(
    constant: str, kind: type, applying: Applying
) -> None:
    body = f"c = Constant <{constant}> () d = Cast <to = 1> (c) y = Add(x, d)"
    text = _text(body, "float k = {1}")
    lowered = applying(text, LowerConstants())
    (held,) = (c for c in lowered.model.constants if c.name == "c")
    assert held.dtype == kind
    folded = applying(lowered.after, FoldConstants())
    assert folded.ops == ["Add"]


class TestShapes:
    def test_of_a_static_tensor(self, applying: Applying) -> None:
        body = "s = Shape(x) r = Reshape(x, s) y = Neg(r)"
        outcome = applying(_text(body, "float k = {1}"), FoldConstants())
        assert outcome.ops == ["Reshape", "Neg"]
        assert outcome.applied == ["the shape is always [2, 3]"]

    def test_with_start_and_end(self, applying: Applying) -> None:
        body = "s = Shape <start = -1> (x) t = Expand(k, s) y = Add(x, t)"
        outcome = applying(_text(body, "float[1] k = {1}"), FoldConstants())
        assert outcome.applied == ["the shape is always [3]", "computed 't' once and for all"]
        assert outcome.ops == ["Add"]

    @pytest.mark.parametrize("index", [1, -1, 0])
    def test_of_a_free_batch(self, index: int, applying: Applying) -> None:
        text = f"""<ir_version: 9, opset_import: ["": 18]>
          g (float[N, 3] x) => (float[N, 3] y, int64 d) <int64 i = {{{index}}}> {{
            s = Shape(x) d = Gather(s, i) c = Cast <to = 1> (d) y = Mul(x, c) }}"""
        outcome = applying(text, FoldConstants())
        known = index != 0
        assert outcome.applied[:1] == (["the result is always 3"] if known else [])
        assert outcome.ops.count("Cast") == (0 if known else 1)
        assert [t.name for t in outcome.model.outputs] == ["y", "d"]

    def test_what_becomes_static_by_folding_is_found_too(self, applying: Applying) -> None:
        body = """s = Shape(x) p = ReduceProd <keepdims = 1> (s) r = Reshape(x, p)
          t = Shape(r) e = Expand(k, t) f = Reshape(e, s) y = Add(x, f)"""
        outcome = applying(_text(body, "float[1] k = {1}"), FoldConstants())
        assert outcome.ops[-1] == "Add"

    def test_declarations_of_inner_tensors_are_hints_only(self, applying: Applying) -> None:
        """Exporters declare the batch they traced with."""
        text = """<ir_version: 9, opset_import: ["": 18, "my.ops": 1]>
          g (float[N, 3] x) => (float[N, 3] y) <float[1, 3] t> {
            t = my.ops.Anything(x) s = Shape(t) y = Reshape(x, s) }"""
        outcome = applying(text, FoldConstants(), runs=False)
        assert not outcome.report.events
        text = text.replace("my.ops.Anything", "Relu").replace(', "my.ops": 1', "")
        assert not applying(text, FoldConstants(), runs=False).report.events

    def test_defaults_may_have_another_length(self, applying: Applying) -> None:
        text = """<ir_version: 9, opset_import: ["": 18]>
          g (float[3] x, float[N] w) => (int64[1] y) <float[3] w = {1, 2, 3}> {
            s = Shape(w) y = Neg(s) }"""
        assert applying(text, FoldConstants(), runs=False).ops == ["Shape", "Neg"]

    def test_a_shape_used_as_an_index_is_no_shape_gathered_from(self, applying: Applying) -> None:
        text = """<ir_version: 9, opset_import: ["": 18]>
          g (float[N] x) => (float[1] y) <float[9] w = {0, 1, 2, 3, 4, 5, 6, 7, 8}> {
            s = Shape(x) y = Gather(w, s) }"""
        assert applying(text, FoldConstants()).ops == ["Shape", "Gather"]

    def test_an_index_out_of_range_is_left_to_the_engine(self, applying: Applying) -> None:
        text = """<ir_version: 9, opset_import: ["": 18]>
          g (float[N, 3] x) => (int64 y) <int64 i = {2}> {
            s = Shape(x) d = Gather(s, i) y = Neg(d) }"""
        assert applying(text, FoldConstants(), runs=False).ops == ["Shape", "Gather", "Neg"]


def test_nothing_to_fold_is_no_event(applying: Applying) -> None:
    outcome = applying(_text("y = Relu(x)", "float k = {1}"), FoldConstants())
    assert outcome.report.events == ()
    assert parse_model(_text("y = Relu(x)", "float k = {1}")) == outcome.after


def test_large_constants_are_arranged_where_they_lie(applying: Applying) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["t", "a"], ["u"]),
        helper.make_node("Reshape", ["u", "s"], ["r"]),
        helper.make_node("Neg", ["r"], ["n"]),
        helper.make_node("MatMul", ["x", "r"], ["m"]),
        helper.make_node("MatMul", ["x", "n"], ["o"]),
        helper.make_node("Sub", ["m", "o"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((700, 400)).astype(np.float32)
    stored = [numpy_helper.from_array(np.array(v), n) for n, v in (("a", [0]), ("s", [-1, 700]))]
    model = _with_weight(nodes, weight, *stored, columns=400)
    outcome = applying(model, FoldConstants(), rtol=1e-4, atol=1e-3)
    assert outcome.ops == ["MatMul", "MatMul", "Sub"]
    values = {c.name: read(c) for c in outcome.model.constants}
    np.testing.assert_array_equal(values["r"], weight.T)
    np.testing.assert_array_equal(values["n"], -weight.T)


def test_the_engine_is_given_portions(applying: Applying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxq.passes.constant_values._PORTION", 20)
    body = """a = Neg(w) b = Exp(w) c = Abs(v) d = Add(x, a) e = Mul(d, b) y = Mul(e, c)"""
    constants = "float[3] w = {1, 2, 3}, float[3] v = {4, 5, 6}"
    outcome = applying(_text(body, constants), FoldConstants())
    assert outcome.ops == ["Add", "Mul", "Mul"]
