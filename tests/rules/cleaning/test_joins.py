"""Concats inside Concats, and those that put together what was taken apart."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.merge_concats import MergeConcats
from onnxq.rules.cleaning.restore_parts import RestoreParts

_CONSTANTS = """int64[1] p0 = {0}, int64[1] p1 = {1}, int64[1] p2 = {2}, int64[1] p3 = {3},
    int64[1] p6 = {6},
  int64[1] end = {9223372036854775807}, int64[2] sizes = {2, 4}, int64[2] halves = {3, 3}"""


def _text(body: str, signature: str = "(float[N,6] x) => (float y)", opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g {signature} <{_CONSTANTS}> {{ {body} n = Neg(t) y = ReduceSum <keepdims = 0> (n) }}"""


class TestMergeConcats:
    @pytest.mark.parametrize(
        "body",
        [
            "a = Concat <axis = 1> (x, x) t = Concat <axis = 1> (x, a)",
            "a = Concat <axis = -1> (x, x) t = Concat <axis = 1> (a, x)",
            "a = Concat <axis = 1> (x, x) b = Concat <axis = 1> (a, x)"
            " t = Concat <axis = -1> (x, b)",
        ],
    )
    def test_merged(self, body, applying):
        outcome = applying(_text(body), MergeConcats())
        assert outcome.ops == ["Concat", "Neg", "ReduceSum"]

    @pytest.mark.parametrize(
        "body",
        [
            "a = Concat <axis = 0> (x, x) t = Concat <axis = 1> (a, a)",
            "a = Concat <axis = 1> (x, x) t = Concat <axis = 1> (a, a)",
            "a = Concat <axis = 1> (x, x) b = Concat <axis = 1> (x, a) c = Neg(a) t = Add(c, a)",
        ],
    )
    def test_stays(self, body, applying):
        outcome = applying(_text(body), MergeConcats())
        assert not outcome.applied or "b" in body

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (
                "a = Concat <axis = 0> (x, x) b = Concat <axis = 0> (x, x)"
                " t = Concat <axis = 1> (a, b)",
                "'Concat_0' joins along axis 0, this one along 1",
            ),
            (
                "a = Concat <axis = 1> (x, x) t = Concat <axis = 1> (a, a)",
                "reads 'a' more than once",
            ),
            (
                "a = Concat <axis = 1> (x, x) c = Neg(a) t = Concat <axis = 1> (c, a)",
                "'a' is also read elsewhere",
            ),
            (
                "e = Slice(x, p3, p3, p1) t = Concat <axis = 1> (e, e)",
                "all of its inputs are empty",
            ),
        ],
    )
    def test_near_misses(self, body, reason, applying):
        assert applying(_text(body), MergeConcats()).refused == [reason]

    def test_axes_of_an_unknown_number(self, applying):
        text = """<ir_version: 8, opset_import: ["": 13]>
          g (float[2,3] x, int64[K] s) => (float y) {
            r = Reshape(x, s) a = Concat <axis = -1> (r, r) t = Concat <axis = 1> (r, a)
            y = ReduceSum <keepdims = 0> (t) }"""
        outcome = applying(text, MergeConcats(), runs=False)
        assert outcome.refused == ["the number of axes of 'a' is not known"]

    def test_the_inner_one_is_returned(self, applying):
        text = _text(
            "a = Concat <axis = 1> (x, x) t = Concat <axis = 1> (x, a)",
            "(float[N,6] x) => (float y, float[N,12] a)",
        )
        assert applying(text, MergeConcats()).refused == ["'a' is also read elsewhere"]

    def test_empty_parts_are_left_out(self, applying):
        body = (
            "e = Slice(x, p3, p3, p1) a = Concat <axis = 1> (e, x, e) t = Concat <axis = 1> (a, x)"
        )
        outcome = applying(_text(body), MergeConcats())
        assert outcome.ops == ["Concat", "Neg", "ReduceSum"]
        assert outcome.applied == [
            "left out 'e', 'e', which is empty", "merged with Concat_0"
        ]  # fmt: skip
        body = "e = Slice(x, p3, p3, p1) t = Concat <axis = 1> (e, e)"
        assert not applying(_text(body), MergeConcats()).applied


class TestRestoreParts:
    @pytest.mark.parametrize(
        "body",
        [
            "a, b = Split <axis = 1> (x, sizes) t = Concat <axis = 1> (a, b)",
            "a, b = Split <axis = -1> (x, sizes) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p3, end, p1) t = Concat <axis = -1> (a, b)",
            """a = Slice(x, p0, p1, p1) b = Slice(x, p1, p3, p1) c = Slice(x, p3, p6, p1)
               t = Concat <axis = 1> (a, b, c)""",
        ],
    )
    def test_restored(self, body, applying):
        outcome = applying(_text(body), RestoreParts())
        assert outcome.ops == ["Neg", "ReduceSum"]
        assert outcome.applied == ["put the parts of 'x' together again"]

    @pytest.mark.parametrize(
        "body",
        [
            "a, b = Split <axis = 1> (x, halves) c = Neg(b) t = Concat <axis = 1> (a, c)",
            "a, b = Split <axis = 1> (x, halves) t = Concat <axis = 1> (x, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p3, end, p1) t = Concat <axis = 0> (a, b)",
            "a = Slice(x, p0, p3, p1) c = Neg(a) t = Concat <axis = 1> (a, c)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p3, end, p1, p2) t = Concat <axis = 1> (a, b)",
        ],
    )
    def test_stays(self, body, applying):
        assert not applying(_text(body), RestoreParts()).report.events

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (
                "a, b = Split <axis = 1> (x, sizes) t = Concat <axis = 1> (b, a)",
                "joins the parts [1, 0] of 2",
            ),
            (
                "a, b = Split <axis = 1> (x, halves) t = Concat <axis = 1> (a, b, b)",
                "joins the parts [0, 1, 1] of 2",
            ),
            (
                "a, b = Split <axis = -1> (x, halves) t = Concat <axis = 0> (a, b)",
                "the parts lie along axis 1, and are joined along 0",
            ),
            (
                "a = Slice(x, p3, end, p1) b = Slice(x, p0, p3, p1) t = Concat <axis = 1> (a, b)",
                "a part begins at 3, not at 0",
            ),
            (
                "a = Slice(x, p0, p3, p1) b = Slice(x, p2, end, p1) t = Concat <axis = 1> (a, b)",
                "a part begins at 2, not at 3",
            ),
            (
                "a = Slice(x, p0, p3, p1) b = Slice(x, p3, p3, p1) t = Concat <axis = 1> (a, b)",
                "a part from 3 ends at 3",
            ),
            (
                "a = Slice(x, p0, p1, p1) b = Slice(x, p1, p3, p1) t = Concat <axis = 1> (a, b)",
                "the parts end at 3 of 6",
            ),
            (
                "a = Slice(x, p0, p1, p0) b = Slice(x, p1, p3, p0) t = Concat <axis = 0> (a, b)",
                "the parts end at 3 of N",
            ),
        ],
    )
    def test_near_misses(self, body, reason, applying):
        assert applying(_text(body), RestoreParts()).refused == [reason]

    def test_bounds_and_ranks_that_are_not_known(self, applying):
        text = _text(
            "a = Slice(x, p0, at, p1) b = Slice(x, at, end, p1) t = Concat <axis = 1> (a, b)",
            "(float[N,6] x, int64[1] at) => (float y)",
        )
        assert applying(text, RestoreParts()).refused == ["the bounds of 'Slice_0' are not known"]
        text = _text(
            "r = Reshape(x, s) a, b = Split <axis = -1> (r, halves) t = Concat <axis = -1> (a, b)",
            "(float[N,6] x, int64[K] s) => (float y)",
        )
        outcome = applying(text, RestoreParts(), runs=False)
        assert outcome.refused == ["the number of axes of 'r' is not known"]

    def test_an_output_that_would_be_an_input(self, applying):
        text = """<ir_version: 8, opset_import: ["": 13]>
          g (float[N,6] x) => (float[N,6] y) <int64[2] sizes = {2, 4}> {
            a, b = Split <axis = 1> (x, sizes) y = Concat <axis = 1> (a, b) }"""
        outcome = applying(text, RestoreParts())
        assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]

    def test_parts_that_others_read_stay(self, applying):
        body = "a, b = Split <axis = 1> (x, halves) c = Concat <axis = 1> (a, b) d = Sub(a, b) " \
               "e = Concat <axis = 1> (d, d) t = Add(c, e)"  # fmt: skip
        outcome = applying(_text(body), RestoreParts())
        assert outcome.ops == ["Split", "Sub", "Concat", "Add", "Neg", "ReduceSum"]
