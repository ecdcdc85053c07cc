"""Clips in a row, and clips spelled by Min and Max."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import MergeClips

_CONSTANTS = """<float zero = {0}, float one = {1}, float[1] six = {6}, float six0 = {6},
 float[1,1,1,1] wide = {0.5}, float minus = {-1}, float infinite = {-inf}>"""


def _text(body: str, opset: int = 13, outputs: str = "float[2,3] y", type_: str = "float") -> str:
    constants = _CONSTANTS.replace("float", type_)
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g ({type_}[2,3] x) => ({outputs.replace("float", type_)}) {constants} {{ {body} }}"""


_CHAINS = {
    "Min of Max": ("a = Max(x, zero) y = Min(a, six)", ["Clip"]),
    "constants first": ("a = Max(zero, x) y = Min(six, a)", ["Clip"]),
    "Min of Relu": ("a = Relu(x) y = Min(a, six)", ["Clip"]),
    "Relu of Min": ("a = Min(x, six) y = Relu(a)", ["Clip"]),
    "Relu of Relu": ("a = Relu(x) y = Relu(a)", ["Relu"]),
    "Clip of Relu": ("a = Relu(x) y = Clip(a, minus, six0)", ["Clip"]),
    "Relu of Clip": ("a = Clip(x, minus, six0) y = Relu(a)", ["Clip"]),
    "Clip of Clip": ("a = Clip(x, minus, six0) y = Clip(a, zero, one)", ["Clip"]),
    "four": ("a = Clip(x, minus) b = Min(a, six) c = Relu(b) y = Min(c, one)", ["Clip"]),
    "Max alone": ("y = Max(x, zero)", ["Relu"]),
    "Min alone": ("y = Min(x, six)", ["Clip"]),
    "lower bound": ("y = Max(minus, x)", ["Clip"]),
    "Clip from 0": ("y = Clip(x, zero)", ["Relu"]),
    "bounds that exclude each other": (
        "a = Clip(x, one, six0) y = Clip(a, minus, zero)",
        ["Clip", "Clip"],
    ),
    "of what is read elsewhere": ("a = Relu(x) b = Min(a, one) y = Add(a, b)",
                                  ["Relu", "Clip", "Add"]),
}  # fmt: skip


@pytest.mark.parametrize("name", _CHAINS)
def test_chains(applying, name):
    body, ops = _CHAINS[name]
    assert applying(_text(body), MergeClips()).ops == ops


def test_what_is_said(applying):
    outcome = applying(_text("a = Relu(x) b = Min(a, six) y = Max(b, wide)"), MergeClips())
    assert outcome.ops == ["Clip", "Max"], "[1,1,1,1] makes the result of rank 4"
    assert outcome.applied == ["became Clip of 0 to 6"]


@pytest.mark.parametrize("body", ["y = Clip(x, zero, one)", "y = Relu(x)", "y = Clip(x)",
                                  "y = Max(x, x)", "y = Max(x, zero, one)"])  # fmt: skip
def test_nothing_to_do(applying, body):
    outcome = applying(_text(body), MergeClips())
    assert not outcome.applied
    assert not outcome.refused


def test_attributes_of_old_operator_sets(applying):
    text = """<ir_version: 8, opset_import: ["" : 9]>
    g (float[2,3] x) => (float[2,3] y, float[2,3] z)
    { a = Clip<min = -1.0>(x) b = Relu(a) y = Clip<max = 6.0>(b)
      c = Clip<min = 0.0, max = 3.4028234663852886e38>(x) z = Neg(c) }"""
    outcome = applying(text, MergeClips())
    assert sorted(outcome.ops) == ["Clip", "Neg", "Relu"]
    (clip,) = (node for node in outcome.model.nodes if node.op == "Clip")
    assert clip.attrs == {"min": 0.0, "max": 6.0}


def test_doubles(applying):
    assert applying(_text("y = Max(x, minus)", type_="double"), MergeClips()).ops == ["Clip"]
    outcome = applying(_text("y = Max(x, minus)", opset=8, type_="double"), MergeClips())
    assert outcome.refused == ["before operator set 11 the limits of Clip are float32"]


def test_integers_are_left_alone(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (int32[3] x) => (int32[3] y) <int32 zero = {0}, int32 six = {6}>
    { a = Max(x, zero) y = Min(a, six) }"""
    outcome = applying(text, MergeClips())
    assert not outcome.applied


def test_outputs_within_the_chain_stay(applying):
    outcome = applying(
        _text("a = Max(x, zero) y = Min(a, six)", outputs="float[2,3] y, float[2,3] a"),
        MergeClips(),
    )
    assert outcome.ops == ["Relu", "Clip"]
    assert [t.name for t in outcome.model.outputs] == ["y", "a"]


def test_limits_that_callers_may_override(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,3] x, float low = {0}) => (float[2,3] y) { a = Max(x, low) y = Relu(a) }"""
    assert applying(text, MergeClips()).ops == ["Max", "Relu"]


def test_random_chains(applying):
    generator = np.random.default_rng(0)
    for _ in range(12):
        steps, name = [], "x"
        for index in range(generator.integers(2, 5)):
            op = generator.choice(["Relu", "Min", "Max"])
            limit = generator.choice(["zero", "one", "minus", "six"])
            result = f"t{index}"
            steps.append(f"{result} = {op}({name}" + (")" if op == "Relu" else f", {limit})"))
            name = result
        outcome = applying(_text(" ".join(steps) + f" y = Neg({name})"), MergeClips())
        assert set(outcome.ops) <= {"Clip", "Relu", "Neg"}


def test_what_a_body_reads_stays(applying):
    text = """<ir_version: 8, opset_import: ["" : 14]>
    g (float[3] x, bool given) => (float[3] y) <float zero = {0}, float six = {6}>
    { a = Relu(x) c = Min(a, six)
      y = If(given) <then_branch = then () => (float[3] t) { t = Add(c, a) },
                     else_branch = other () => (float[3] e) { e = Neg(c) }> }"""
    outcome = applying(text, MergeClips())
    assert outcome.ops == ["Relu", "Clip", "If"]
