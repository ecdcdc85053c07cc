"""LowerConstants, RemoveIdentities, FreezeDefaults, DeduplicateConstants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.passes import (
    DeduplicateConstants,
    FreezeDefaults,
    LowerConstants,
    RemoveDeadNodes,
    RemoveIdentities,
)

Applying = Callable[..., Any]


def _text(body: str, signature: str, constants: str = "float unused = {1}", opset: int = 18) -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g {signature} <{constants}> {{ {body} }}"""


class TestLowerConstants:
    def test_the_output_keeps_its_name(self, applying: Applying) -> None:
        text = _text(
            "[k] c = Constant <value = float[2] {1, 2}> () y = Add(x, c)",
            "(float[2] x) => (float[2] y)",
        )
        outcome = applying(text, LowerConstants())
        assert outcome.ops == ["Add"]
        assert outcome.applied == ["became the initializer 'c'"]

    @pytest.mark.parametrize("values", [["a", "ü"], [b"\xff", b"b"]])
    def test_strings(self, values: list[str | bytes], applying: Applying) -> None:
        nodes = [
            helper.make_node("Constant", [], ["c"], value_strings=values),
            helper.make_node("Size", ["c"], ["n"]),
            helper.make_node("Add", ["x", "n"], ["y"]),
        ]
        value = [helper.make_tensor_value_info(n, onnx.TensorProto.INT64, []) for n in "xy"]
        proto = helper.make_model(
            helper.make_graph(nodes, "g", value[:1], value[1:]),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
        outcome = applying(proto, LowerConstants(), runs=False)
        (held,) = outcome.model.constants
        assert held.stored.dtype == object
        kept = outcome.after.graph.initializer[0].string_data
        assert list(kept) == [v if isinstance(v, bytes) else v.encode() for v in values]

    def test_a_sparse_value_stays_sparse(self, applying: Applying) -> None:
        values = numpy_helper.from_array(np.float32([5]), "")
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1])), [3])
        nodes = [
            helper.make_node("Constant", [], ["c"], sparse_value=sparse),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ]
        value = [helper.make_tensor_value_info(n, 1, [3]) for n in "xy"]
        proto = helper.make_model(
            helper.make_graph(nodes, "g", value[:1], value[1:]),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
        outcome = applying(proto, LowerConstants())
        assert outcome.after.graph.sparse_initializer[0].values.name == "c"

    def test_what_bodies_read_is_lowered_and_what_they_hold_stays(self, applying: Applying) -> None:
        text = _text(
            """c = Constant <value = float[2] {1, 2}> ()
               y = If(b) <then_branch = p () => (float[2] r) { r = Add(x, c) },
                          else_branch = q () => (float[2] s) {
                            k = Constant <value = float[2] {3, 4}> () s = Sub(c, k) }>""",
            "(float[2] x, bool b) => (float[2] y)",
        )
        assert applying(text, LowerConstants()).ops == ["If"]

    def test_an_output_of_the_model_stays_a_node(self, applying: Applying) -> None:
        text = _text(
            "c = Constant <value = float[2] {1, 2}> () y = Add(x, c)",
            "(float[2] x) => (float[2] y, float[2] c)",
        )
        outcome = applying(text, LowerConstants())
        assert outcome.refused == ["its output 'c' is an output of the model"]

    def test_a_constant_without_a_known_value_is_refused(self, applying: Applying) -> None:
        signature = "(float[2] x) => (float[2] y)"
        text = _text("c = Constant () y = Add(x, c)", signature)
        assert applying(text, LowerConstants(), runs=False).refused
        text = _text("c = Constant <value_new = 1> () y = Add(x, c)", signature)
        outcome = applying(text, LowerConstants(), runs=False)
        assert outcome.refused == ["its attribute 'value_new' is not known"]


class TestRemoveIdentities:
    @pytest.mark.parametrize(
        ("body", "left"),
        [
            ("t = Identity(x) y = Neg(t)", ["Neg"]),
            ("t = Neg(x) y = Identity(t)", ["Neg"]),
            ("a = Identity(x) b = Identity(a) c = Identity(b) t = Neg(c) y = Identity(t)", ["Neg"]),
            ("t = Neg(x) a = Identity(t) y = Identity(a)", ["Neg"]),
            ("t = Neg(x) u = Exp(t) v = Add(t, u) y = Identity(t)", ["Neg", "Exp", "Add"]),
            ("t = Identity(w) y = Add(x, t)", ["Add"]),
            ("t = Dropout(x) y = Neg(t)", ["Neg"]),
            ("t = Dropout(x, r, f) y = Neg(t)", ["Neg"]),
            ("t, m = Dropout(x, r) y = Neg(t)", ["Neg"]),
        ],
    )
    def test_removed(self, body: str, left: list[str], applying: Applying) -> None:
        constants = "float[2] w = {1, 2}, float r = {0.5}, bool f = {0}, bool t1 = {1}"
        text = _text(body, "(float[2] x) => (float[2] y)", constants)
        outcome = applying(text, RemoveIdentities())
        assert outcome.ops == left
        assert [t.name for t in outcome.model.outputs] == ["y"]

    @pytest.mark.parametrize(
        ("body", "outputs", "reason"),
        [
            ("y = Identity(x)", "float[2] y", "joins the output 'y' to a tensor that keeps"),
            ("y = Identity(w)", "float[2] y", "joins the output 'y' to a tensor that keeps"),
            ("z = Neg(x) y = Identity(z)", "float[2] y, float[2] z", "joins the output 'y'"),
            ("t, m = Dropout(x) y = Neg(t)", "float[2] y, bool[2] m", "its mask is used"),
            ("t = Dropout(x, r, yes) y = Neg(t)", "float[2] y", "may be in training mode"),
            ("t = Dropout(x, r, given) y = Neg(t)", "float[2] y", "may be in training mode"),
        ],
    )
    def test_refused(self, body: str, outputs: str, reason: str, applying: Applying) -> None:
        constants = "float[2] w = {1, 2}, float r = {0.5}, bool yes = {1}"
        text = _text(body, f"(float[2] x, bool given) => ({outputs})", constants)
        runs = "yes" not in body and "given)" not in body
        outcome = applying(text, RemoveIdentities(), runs=runs)
        assert len(outcome.refused) == 1
        assert reason in outcome.refused[0]

    def test_two_outputs_of_one_tensor(self, applying: Applying) -> None:
        text = _text(
            "t = Neg(x) y = Identity(t) z = Identity(t)", "(float[2] x) => (float[2] y, float[2] z)"
        )
        outcome = applying(text, RemoveIdentities())
        assert outcome.ops == ["Neg", "Identity"]
        assert len(outcome.refused) == 1

    def test_readers_in_bodies_follow(self, applying: Applying) -> None:
        text = _text(
            """t = Identity(x)
               y = If(b) <then_branch = p () => (float[2] r) { r = Neg(t) },
                          else_branch = q () => (float[2] s) { s = Exp(t) }>""",
            "(float[2] x, bool b) => (float[2] y)",
        )
        assert applying(text, RemoveIdentities()).ops == ["If"]

    def test_old_dropout_may_train(self, applying: Applying) -> None:
        text = _text("t = Dropout(x) y = Neg(t)", "(float[2] x) => (float[2] y)", opset=6)
        outcome = applying(text, RemoveIdentities(), runs=False)
        assert outcome.refused == ["may be in training mode (opset below 7)"]


class TestRemoveDeadNodes:
    def test_chains_of_them_go_and_events_name_them(self, applying: Applying) -> None:
        text = _text(
            """[one] a = Neg(x) [two] b = Exp(a)
               c, d = Split <num_outputs = 2> (x) y = Abs(c)""",
            "(float[2] x) => (float[1] y)",
        )
        outcome = applying(text, RemoveDeadNodes())
        assert outcome.ops == ["Split", "Abs"]
        assert [e.node for e in outcome.report.applied] == ["one", "two"]


class TestFreezeDefaults:
    def test_all_listed_are_frozen(self, applying: Applying) -> None:
        text = _text(
            "t = Add(x, w) y = Mul(t, v)",
            "(float[2] w, float[2] x, float[2] v) => (float[2] y)",
            "float[2] w = {1, 2}, float[2] v = {3, 4}",
        )
        outcome = applying(text, FreezeDefaults(), runs=False)
        assert outcome.applied == ["took all 2 weights off the list of inputs"]
        assert [value.name for value in outcome.after.graph.input] == ["x"]
        assert not any(c.overridable for c in outcome.model.constants)

    def test_a_deliberate_listing_stays(self, applying: Applying) -> None:
        text = _text(
            "t = Add(x, w) y = Mul(t, v)",
            "(float[2] x, float[2] w) => (float[2] y)",
            "float[2] w = {1, 2}, float[2] v = {3, 4}",
        )
        outcome = applying(text, FreezeDefaults())
        assert outcome.refused == ["is an input with a default; callers may override it"]

    def test_legacy_models_have_nothing_to_freeze(self, applying: Applying) -> None:
        text = """<ir_version: 3, opset_import: ["": 8]>
          g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"""
        assert not applying(text, FreezeDefaults(), runs=False).report.events


class TestDeduplicateConstants:
    def test_equal_constants_are_stored_once(self, applying: Applying) -> None:
        text = _text(
            "a = Add(x, u) b = Add(a, v) c = Add(b, w) d = Cast <to = 1> (i) y = Add(c, d)",
            "(float[2] x) => (float[2] y)",
            "float[2] u = {1, 2}, float[2] v = {1, 2}, float[2] w = {1, 3}, int32[2] i = {1, 2}",
        )
        outcome = applying(text, DeduplicateConstants())
        assert outcome.applied == ["equals 'u', which is stored once"]
        assert {c.name for c in outcome.model.constants} == {"u", "w", "i"}

    def test_negative_zero_is_another_value(self, applying: Applying) -> None:
        text = _text(
            "a = Div(x, u) y = Div(a, v)",
            "(float[2] x) => (float[2] y)",
            "float[2] u = {0.0, 1}, float[2] v = {-0.0, 1}",
        )
        assert not applying(text, DeduplicateConstants(), runs=False).report.events

    def test_other_shapes_scalars_and_defaults_stay(self, applying: Applying) -> None:
        text = _text(
            "a = Add(x, u) b = Add(a, v) c = Add(b, s) d = Add(c, t) e = Add(d, w) y = Add(e, z)",
            "(float[2] x, float[2] w) => (float[1, 2] y)",
            """float[2] u = {1, 2}, float[1, 2] v = {1, 2}, float s = {1}, float t = {1},
               float[2] w = {1, 2}, float[3] unused = {1, 1, 1}, float[1] z = {1}""",
        )
        assert not applying(text, DeduplicateConstants()).report.events

    def test_what_sibling_bodies_store_stays_in_them(self, applying: Applying) -> None:
        text = _text(
            """t = Add(x, u)
               y = If(b) <then_branch = p () => (float[2] r) <float[2] k = {1, 2}> {
                            r = Add(t, k) },
                          else_branch = q () => (float[2] s) <float[2] l = {1, 2}> {
                            s = Sub(t, l) }>""",
            "(float[2] x, bool b) => (float[2] y)",
            "float[2] u = {1, 2}",
        )
        assert not applying(text, DeduplicateConstants()).report.events

    def test_readers_in_bodies_follow(self, applying: Applying) -> None:
        text = _text(
            """t = Add(x, u)
               y = If(b) <then_branch = p () => (float[2] r) { r = Add(t, v) },
                          else_branch = q () => (float[2] s) { s = Sub(t, v) }>""",
            "(float[2] x, bool b) => (float[2] y)",
            "float[2] u = {1, 2}, float[2] v = {1, 2}",
        )
        outcome = applying(text, DeduplicateConstants())
        assert [c.name for c in outcome.model.constants] == ["u"]

    def test_a_returned_constant_keeps_its_name(self, applying: Applying) -> None:
        text = _text(
            "y = Add(x, u)",
            "(float[2] x) => (float[2] y, float[2] v)",
            "float[2] u = {1, 2}, float[2] v = {1, 2}",
        )
        assert not applying(text, DeduplicateConstants()).report.events
