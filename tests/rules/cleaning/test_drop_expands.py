"""Expand before operators that broadcast anyway."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.drop_expands import DropExpands

_CONSTANTS = """int64[3] s = {2, 4, 3}, int64[1] i0 = {0}, int64[1] one = {1}, int64[1] three = {3},
  float[1,3] w = {1, 2, 3}"""


def _text(body: str, signature: str = "(float[N,4,3] x, float[1,3] r) => (float[A,B,C] y)") -> str:
    return f"""<ir_version: 8, opset_import: ["": 17]>
      g {signature} <{_CONSTANTS}> {{ h = Shape(x) {body} }}"""


@pytest.mark.parametrize(
    "body",
    [
        "e = Expand(r, h) y = Add(x, e)",
        "e = Expand(w, h) y = Mul(e, x)",
        "e = Expand(r, h) a = Add(x, e) b = Sub(a, e) y = Max(b, e, x)",
        "e = Expand(r, h) g = Greater(x, e) y = Where(g, e, x)",
        """n = Slice(h, i0, one) t = Concat <axis = 0> (n, one, three)
           e = Expand(r, t) y = Add(x, e)""",
    ],
)
def test_removed(body, applying):
    outcome = applying(_text(body), DropExpands())
    assert "Expand" not in outcome.ops


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("e = Expand(r, h) y = Add(e, e)", "Add_0 (Add) may not broadcast as far"),
        ("m = ReduceMax <axes = [1]> (x) e = Expand(r, h) y = Add(e, m)",
         "Add_0 (Add) may not broadcast as far"),
        ("m = ReduceMax <axes = [0]> (x) e = Expand(r, h) y = Add(e, m)",
         "Add_0 (Add) may not broadcast as far"),
    ],
)  # fmt: skip
def test_refused(body, reason, applying):
    assert applying(_text(body), DropExpands()).refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "e = Expand(r, h) y = Neg(e)",
        "e = Expand(r, h) a = Add(x, e) y = Concat <axis = 0> (a, e)",
    ],
)
def test_readers_that_do_not_broadcast(body, applying):
    assert not applying(_text(body), DropExpands()).report.events


def test_what_is_returned_stays(applying):
    text = _text("e = Expand(r, h) y = Add(x, e)").replace("C] y)", "C] y, float[D,E,F] e)")
    assert not applying(text, DropExpands()).report.events


def test_the_number_of_axes_must_come_from_another_operand(applying):
    signature = "(float[3] x, float[3] r) => (float[A,B] y)"
    text = _text("t = Concat <axis = 0> (one, h) e = Expand(r, t) y = Add(x, e)", signature)
    assert applying(text, DropExpands()).refused == ["Add_0 (Add) may not broadcast as far"]
