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

    def test_the_inner_one_is_returned(self, applying):
        text = _text(
            "a = Concat <axis = 1> (x, x) t = Concat <axis = 1> (x, a)",
            "(float[N,6] x) => (float y, float[N,12] a)",
        )
        assert not applying(text, MergeConcats()).applied

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
            "a, b = Split <axis = 1> (x, sizes) t = Concat <axis = 1> (b, a)",
            "a, b = Split <axis = 1> (x, halves) t = Concat <axis = 0> (a, b)",
            "a, b = Split <axis = 1> (x, halves) t = Concat <axis = 1> (a, b, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p3, p3, p1) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p2, end, p1) t = Concat <axis = 1> (a, b)",
            "a = Slice(x, p0, p3, p1) b = Slice(x, p3, end, p1, p2) t = Concat <axis = 1> (a, b)",
        ],
    )
    def test_stays(self, body, applying):
        assert not applying(_text(body), RestoreParts()).report.events

    def test_parts_that_others_read_stay(self, applying):
        body = "a, b = Split <axis = 1> (x, halves) c = Concat <axis = 1> (a, b) d = Sub(a, b) " \
               "e = Concat <axis = 1> (d, d) t = Add(c, e)"  # fmt: skip
        outcome = applying(_text(body), RestoreParts())
        assert outcome.ops == ["Split", "Sub", "Concat", "Add", "Neg", "ReduceSum"]
