"""Identity, Dropout, idle Cast, joins of one and decided Where are removed, and nothing else."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.remove_copies import RemoveCopies

_CONSTANTS = """float[3] w = {1, 2, 3}, float r = {0.5}, bool no = {0}, bool yes = {1},
  bool[3] all = {1, 1, 1}, bool[3] some = {1, 0, 1}, bool[1,3] wide = {0, 0, 0},
  int64[1] sp = {3}"""


def _text(body: str, signature: str = "(float[3] x) => (float[3] y)", opset: int = 18) -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g {signature} <{_CONSTANTS}> {{ {body} }}"""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("t = Identity(x) y = Neg(t)", ["Neg"]),
        ("t = Neg(x) y = Identity(t)", ["Neg"]),
        ("a = Identity(x) b = Identity(a) t = Neg(b) y = Identity(t)", ["Neg"]),
        ("t = Identity(w) y = Add(x, t)", ["Add"]),
        ("t = Dropout(x) y = Neg(t)", ["Neg"]),
        ("t = Dropout(x, r, no) y = Neg(t)", ["Neg"]),
        ("t, m = Dropout(x, r) y = Neg(t)", ["Neg"]),
        ("t = Cast <to = 1> (x) y = Neg(t)", ["Neg"]),
        ("t = CastLike(x, w) y = Neg(t)", ["Neg"]),
        ("t = Concat <axis = 0> (x) y = Neg(t)", ["Neg"]),
        ("t = Sum(x) u = Mean(t) v = Max(u) z = Min(v) y = Neg(z)", ["Neg"]),
        ("t = Split <axis = 0> (x, sp) y = Neg(t)", ["Neg"]),
        ("n = Neg(x) t = Where(yes, x, n) y = Abs(t)", ["Abs"]),
        ("n = Neg(x) t = Where(no, x, n) y = Abs(t)", ["Neg", "Abs"]),
        ("n = Neg(x) t = Where(all, n, x) y = Abs(t)", ["Neg", "Abs"]),
    ],
)
def test_removed(body, left, applying):
    outcome = applying(_text(body), RemoveCopies())
    assert outcome.ops == left
    assert [t.name for t in outcome.model.outputs] == ["y"]


@pytest.mark.parametrize(
    "body",
    [
        "t = Cast <to = 11> (x) u = Neg(t) y = Cast <to = 1> (u)",
        "t = Concat <axis = 0> (x, x) y = Slice(t, sp, sp)",
        "t = Sum(x, x) y = Neg(t)",
        "n = Neg(x) y = Where(some, x, n)",
    ],
)
def test_what_does_something_stays(body, applying):
    signature = "(float[3] x) => (float[K] y)"
    outcome = applying(_text(body, signature), RemoveCopies())
    assert not outcome.report.events


@pytest.mark.parametrize(
    ("body", "outputs", "reason"),
    [
        ("y = Identity(x)", "float[3] y", "joins the output 'y' to a tensor that keeps its own"),
        ("y = Identity(w)", "float[3] y", "joins the output 'y' to a tensor that keeps its own"),
        ("z = Neg(x) y = Identity(z)", "float[3] y, float[3] z", "joins the output 'y' to a ten"),
        ("t, m = Dropout(x) y = Neg(t)", "float[3] y, bool[3] m", "its mask is used"),
        ("t = Dropout(x, r, yes) y = Neg(t)", "float[3] y", "may be in training mode"),
        ("t = Dropout(x, r, given) y = Neg(t)", "float[3] y", "may be in training mode"),
        (
            "n = Neg(x) t = Where(wide, x, n) y = Squeeze(t)",
            "float[3] y",
            "its condition is always False, but it broadcasts the input chosen",
        ),
    ],
)
def test_refused(body, outputs, reason, applying):
    runs = "given)" not in body and "yes)" not in body
    text = _text(body, f"(float[3] x, bool given) => ({outputs})")
    outcome = applying(text, RemoveCopies(), runs=runs)
    assert len(outcome.refused) == 1
    assert outcome.refused[0].startswith(reason)


def test_two_outputs_of_one_tensor(applying):
    text = _text(
        "t = Neg(x) y = Identity(t) z = Identity(t)", "(float[3] x) => (float[3] y, float[3] z)"
    )
    outcome = applying(text, RemoveCopies())
    assert outcome.ops == ["Neg", "Identity"]
    assert len(outcome.refused) == 1


def test_readers_in_bodies_follow(applying):
    text = _text(
        """t = Identity(x)
           y = If(b) <then_branch = p () => (float[3] a) { a = Neg(t) },
                      else_branch = q () => (float[3] s) { s = Exp(t) }>""",
        "(float[3] x, bool b) => (float[3] y)",
    )
    assert applying(text, RemoveCopies()).ops == ["If"]


def test_defaults_that_callers_may_override_decide_nothing(applying):
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[3] x, bool c) => (float[3] y) <bool c = {1}> { n = Neg(x) y = Where(c, x, n) }"""
    assert applying(text, RemoveCopies(), runs=False).ops == ["Neg", "Where"]


def test_old_dropout_may_train(applying):
    outcome = applying(_text("t = Dropout(x) y = Neg(t)", opset=6), RemoveCopies(), runs=False)
    assert outcome.refused == ["may be in training mode (opset below 7)"]
