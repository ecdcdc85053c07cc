"""Computed targets of Reshape and Expand become constants wherever that is certain."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.graph import Constant, read, remove_dead_nodes
from onnxq.rules.cleaning.fix_targets import FixTargets

_CONSTANTS = """int64 i0 = {0}, int64 i1 = {1}, int64[1] a0 = {0}, int64[2] heads = {4, 3},
  int64[1] rest = {-1}, int64[1] twelve = {12}, int64[1] one = {1}, int64[3] ones = {1, 1, 1},
  int64[3] minus = {-1, -1, -1}, int64[1] two = {2}"""


def _text(body: str, signature: str = "(float[N,M,12] x) => (float y)", opset: int = 17) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g {signature} <{_CONSTANTS}> {{ {body} y = ReduceSum <keepdims = 0> (t) }}"""


_DIMENSIONS = """s = Shape(x) n = Gather(s, i0) m = Gather(s, i1)
  nn = Unsqueeze(n, a0) mm = Unsqueeze(m, a0) """

_TARGETS = {
    "copied": ("c = Concat <axis = 0> (nn, mm, heads) t = Reshape(x, c)", [0, 0, 4, 3]),
    "flattened behind": ("c = Concat <axis = 0> (nn, rest) t = Reshape(x, c)", [0, -1]),
    "flattened before": ("c = Concat <axis = 0> (rest, twelve) t = Reshape(x, c)", [-1, 12]),
    "multiplied": (
        "p = Mul(nn, mm) c = Concat <axis = 0> (p, twelve) t = Reshape(x, c)",
        [-1, 12],
    ),
    "moved": ("c = Concat <axis = 0> (nn, one, mm, twelve) t = Reshape(x, c)", [0, 1, -1, 12]),
    "sliced": ("f = Slice(s, a0, two) c = Concat <axis = 0> (f, heads) t = Reshape(x, c)",
               [0, 0, 4, 3]),
    "cast": (
        """k = Cast <to = 6> (s) f = Slice(k, a0, two) l = Cast <to = 7> (f)
           c = Concat <axis = 0> (l, heads) t = Reshape(x, c)""",
        [0, 0, 4, 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _TARGETS)
def test_reshape(name, applying):
    body, target = _TARGETS[name]
    outcome = applying(_text(_DIMENSIONS + body), FixTargets())
    remove_dead_nodes(outcome.model)
    reshape = next(n for n in outcome.model.nodes if n.op == "Reshape")
    assert isinstance(reshape.inputs[1], Constant)
    assert read(reshape.inputs[1]).tolist() == target
    assert outcome.applied == [f"its target is always {target}"]
    assert "Shape" not in outcome.ops


@pytest.mark.parametrize(
    ("signature", "body", "reason"),
    [
        (
            "(float[N,M,12] x) => (float y)",
            "c = Concat <axis = 0> (mm, nn, twelve) t = Reshape(x, c)",
            "dimensions 0, 1 of its result are free, and only one can be -1",
        ),
        (
            "(float[N,0,12] x) => (float y)",
            "c = Concat <axis = 0> (nn, twelve, a0) t = Reshape <allowzero = 1> (x, c)",
            "dimension 2 of its result is 0",
        ),
    ],
)
def test_refused(signature, body, reason, applying):
    outcome = applying(_text(_DIMENSIONS + body, signature), FixTargets())
    assert outcome.refused == [reason]


def test_nothing_is_told_from_tensors_that_may_be_empty(applying):
    """The positions of nonzero elements may be none, and then -1 says nothing."""
    text = _text(
        """z = NonZero(x) p = Transpose(z) s = Shape(p) n = Gather(s, a0)
           q = Gather(x, p) c = Concat <axis = 0> (n, rest) t = Reshape(q, c)"""
    )
    outcome = applying(text, FixTargets(), runs=False)
    assert outcome.refused == ["dimension 0 of its result may be 0, and then -1 says nothing"]


def test_expand(applying):
    body = "u = ReduceMean <axes = [1, 2]> (x) c = Concat <axis = 0> (nn, two, twelve)"
    text = _text(f"{_DIMENSIONS} {body} t = Expand(u, c)")
    outcome = applying(text, FixTargets())
    expand = next(n for n in outcome.model.nodes if n.op == "Expand")
    assert np.array_equal(read(expand.inputs[1]), [1, 2, 12])


def test_expand_along_a_free_axis(applying):
    text = _text(f"{_DIMENSIONS} c = Concat <axis = 0> (nn, mm, twelve) t = Expand(twelve, c)")
    text = text.replace("(float y)", "(int64 y)")
    assert applying(text, FixTargets()).refused == ["dimension 0 of its result is free"]


def test_the_torch_spelling_of_expand(applying):
    """expand(n, -1, -1): where the target is -1, ones stand instead."""
    text = _text(
        f"""{_DIMENSIONS} c = Concat <axis = 0> (nn, rest, twelve) e = Equal(c, minus)
           w = Where(e, ones, c) u = ReduceMean <axes = [1]> (x) t = Expand(u, w)"""
    )
    outcome = applying(text, FixTargets())
    assert outcome.applied == ["its target is always [1, 1, 12]"]
    assert "Where" not in outcome.ops


def test_targets_that_callers_may_override_stay(applying):
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (float[2,6] x, int64[2] s) => (float[A,B] y) <int64[2] s = {3, 4}> { y = Reshape(x, s) }"""
    assert not applying(text, FixTargets(), runs=False).report.events


def test_constant_targets_stay_as_they_are(applying):
    outcome = applying(_text("t = Reshape(x, rest)"), FixTargets())
    assert not outcome.report.events


@pytest.mark.parametrize("seed", range(6))
def test_random_reshapes(seed, applying):
    """Whatever is merged or split at random: the result is the engine's."""
    random = np.random.default_rng(seed)
    pieces = ["nn", "mm", "heads"] if random.random() < 0.5 else ["nn", "one", "mm", "twelve"]
    if random.random() < 0.5:
        pieces[int(random.integers(len(pieces) - 1))] = "rest"
    outcome = applying(
        _text(f"{_DIMENSIONS} c = Concat <axis = 0> ({', '.join(pieces)}) t = Reshape(x, c)"),
        FixTargets(),
    )
    assert outcome.applied
