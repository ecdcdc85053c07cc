"""Arrangements that change nothing are removed, whatever the free dimensions."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.remove_idle_arrangements import RemoveIdleArrangements

_CONSTANTS = """int64[3] same = {0, 3, 4}, int64[3] told = {-1, 3, 4}, int64[3] other = {0, 4, 3},
  int64[2] two = {2, 2}, int64[2] ones2 = {1, 1}, int64[3] ones = {1, 1, 1}, int64[1] last = {4},
  int64[1] zero = {0}, int64[1] one = {1}, int64[1] end = {9223372036854775807}, int64[1] far = {4},
  int64[1] axis = {2}, int64[6] none = {0, 0, 0, 0, 0, 0}, int64[3] three = {0, 1, -1},
  int64[3] mixed = {0, 2, 1}, int64[3] first = {1, 1, 2}, int64[2] back = {-1, 12},
  int64[1] all = {1},
  int64[2] zeros2 = {0, 0}, int64[2] ends = {2147483647, 2147483647}, int64[2] axes2 = {0, 1},
  int64[0] nothing = {}"""


def _text(body: str, opset: int = 18, output: str = "float y") -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g (float[N,3,4] x) => ({output}) <{_CONSTANTS}> {{ {body} }}"""


_IDLE = {
    "Reshape that copies": "t = Reshape(x, same)",
    "Reshape told from the number of elements": "t = Reshape(x, told)",
    "Reshape to its own shape": "s = Shape(x) t = Reshape(x, s)",
    "Expand to ones": "t = Expand(x, ones)",
    "Expand to its own shape": "s = Shape(x) t = Expand(x, s)",
    "Tile once": "t = Tile(x, ones)",
    "Transpose in order": "t = Transpose <perm = [0, 1, 2]> (x)",
    "Slice of all": "t = Slice(x, zero, end, axis)",
    "Slice to the length": "t = Slice(x, zero, far, axis, one)",
    "Slice of free axes": "t = Slice(x, zeros2, ends, axes2)",
    "Slice to Shape": "s = Shape <start = 0, end = 1> (x) t = Slice(x, zero, s, zero)",
    "Pad by nothing": "t = Pad(x, none)",
    "Pad that reflects nothing": 't = Pad <mode = "reflect"> (x, none)',
    "Gather of all": "t = Gather <axis = 1> (x, three)",
    "Squeeze of no axes": "t = Squeeze(x, nothing)",
}


@pytest.mark.parametrize("name", _IDLE)
def test_removed(name, applying):
    body = f"{_IDLE[name]} n = Neg(t) y = ReduceSum <keepdims = 0> (n)"
    outcome = applying(_text(body), RemoveIdleArrangements())
    assert outcome.ops == ["Neg", "ReduceSum"]
    assert "that changes nothing was removed" in outcome.applied[0]


_BUSY = {
    "Reshape": "t = Reshape(x, other)",
    "Expand": "t = Expand(last, ones2)",
    "Transpose": "t = Transpose <perm = [0, 2, 1]> (x)",
    "Transpose by default": "t = Transpose(x)",
    "Slice of a part": "t = Slice(x, zero, one, axis)",
    "Slice of some of a free axis": "t = Slice(x, zero, far, zero)",
    "Slice backwards": "t = Slice(x, end, none, axis)",
    "Pad": "t = Pad(x, same)",
    "Gather of a part": "t = Gather <axis = 2> (x, three)",
    "Gather that repeats": "t = Gather <axis = 1> (x, first)",
    "Gather of a free axis": "t = Gather <axis = 0> (x, zero)",
    "Tile": "t = Tile(x, first)",
}


@pytest.mark.parametrize("name", _BUSY)
def test_stays(name, applying):
    body = f"{_BUSY[name]} u = Cast <to = 1> (t) n = Neg(u) y = ReduceSum <keepdims = 0> (n)"
    outcome = applying(_text(body), RemoveIdleArrangements(), runs=False)
    assert not outcome.report.events


def test_space_and_depth_of_blocks_of_one(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[N,4,2,2] x) => (float[N,4,2,2] y) {
        a = DepthToSpace <blocksize = 1> (x) b = SpaceToDepth <blocksize = 1> (a) y = Neg(b) }"""
    assert applying(text, RemoveIdleArrangements()).ops == ["Neg"]


def test_flatten_of_a_matrix(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[N,K] x) => (float[N,K] y) { a = Flatten <axis = 1> (x) y = Neg(a) }"""
    assert applying(text, RemoveIdleArrangements()).ops == ["Neg"]
    # An axis counted from the end means another split.
    text = text.replace("axis = 1", "axis = 0").replace("[N,K] y", "[A,B] y")
    assert not applying(text, RemoveIdleArrangements()).applied


@pytest.mark.parametrize("opset", [9, 10])
def test_attributes_before_they_were_inputs(opset, applying):
    sliced = (
        "b = Slice <starts = [0], ends = [2147483647], axes = [1]> (a)"
        if opset < 10
        else "b = Slice(a, zero, end, axis)"
    )
    text = f"""<ir_version: 8, opset_import: ["": {opset}]>
      g (float[N,3] x) => (float[N,3] y)
      <int64[1] zero = {{0}}, int64[1] end = {{2147483647}}, int64[1] axis = {{1}}> {{
        a = Pad <pads = [0, 0, 0, 0]> (x) {sliced} y = Neg(b) }}"""
    assert applying(text, RemoveIdleArrangements()).ops == ["Neg"]


def test_names_that_say_nothing_prove_nothing(applying):
    """Exporters write '?' for height and width alike."""
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[2,"?","?"] x) => (float[A,B,C] y) {
        s = Shape(x) i = Constant <value_ints = [0, 2, 1]> ()
        t = Gather(s, i) r = Reshape(x, t) y = Neg(r) }"""
    text = text.replace('"?"', "dynamic")
    outcome = applying(text, RemoveIdleArrangements(), runs=False)
    assert outcome.ops == ["Shape", "Constant", "Gather", "Reshape", "Neg"]


def test_a_result_that_the_model_returns_keeps_its_name(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[N,3] x) => (float[N,3] y) { n = Neg(x) y = Transpose <perm = [0, 1]> (n) }"""
    outcome = applying(text, RemoveIdleArrangements())
    assert outcome.ops == ["Neg"]
    assert outcome.model.outputs[0].name == "y"
    direct = text.replace("n = Neg(x)", "").replace("(n)", "(x)")
    (reason,) = applying(direct, RemoveIdleArrangements()).refused
    assert reason == "joins the output 'y' to a tensor that keeps its own name"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "t = Gather <axis = 1> (x, mixed)",
            "takes all positions of axis 1, but not in order",
        ),
        ("t = Pad(x, given)", "'given' is computed or may be overridden at run time"),
    ],
)
def test_near_misses(body, reason, applying):
    text = f"""<ir_version: 9, opset_import: ["": 18]>
      g (float[N,3,4] x, int64[6] given) => (float y)
      <{_CONSTANTS}, int64[6] given = {{0, 0, 0, 0, 0, 0}}> {{
        {body} n = Neg(t) y = ReduceSum <keepdims = 0> (n) }}"""
    assert applying(text, RemoveIdleArrangements()).refused == [reason]


def test_other_defaults_are_no_near_misses(applying):
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float[N,3,4] x, int64[6] given) => (float[A,B,C] y)
      <int64[6] given = {0, 0, 1, 0, 0, 1}> { y = Pad(x, given) }"""
    assert not applying(text, RemoveIdleArrangements()).report.events
