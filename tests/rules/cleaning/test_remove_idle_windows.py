"""Pools, reductions, resizes and clips that change nothing are removed."""

from __future__ import annotations

import pytest

from onnxq.rules.cleaning.remove_idle_windows import RemoveIdleWindows

_CONSTANTS = """float[4] ones = {1, 1, 1, 1}, float[4] twos = {1, 1, 2, 1},
    int64[4] own = {2, 3, 1, 4},
  float low = {-3.0}, float[0] none = {}, int64[1] two = {2}, int64[1] three = {3},
  int64[0] noaxes = {}"""


def _text(body: str, opset: int = 13) -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
      g (float[2,3,1,4] x) => (float y) <{_CONSTANTS}> {{
        {body} n = Neg(t) y = ReduceSum <keepdims = 0> (n) }}"""


_IDLE = {
    "MaxPool": "t = MaxPool <kernel_shape = [1, 1]> (x)",
    "AveragePool": "t = AveragePool <kernel_shape = [1, 1], strides = [1, 1]> (x)",
    "ReduceMean": "t = ReduceMean <axes = [2]> (x)",
    "ReduceSum": "t = ReduceSum(x, two)",
    "ReduceMax": "t = ReduceMax <axes = [-2], keepdims = 1> (x)",
    "ReduceSum of no axes": "t = ReduceSum <noop_with_empty_axes = 1> (x, noaxes)",
    "Resize by scales": "t = Resize(x, , ones)",
    "Resize to sizes": 't = Resize <mode = "linear"> (x, , , own)',
    "Resize to its own size": "s = Shape(x) t = Resize(x, , , s)",
    "Clip": "t = Clip(x)",
}


@pytest.mark.parametrize("name", _IDLE)
def test_removed(name, applying):
    outcome = applying(_text(_IDLE[name]), RemoveIdleWindows())
    assert outcome.ops == ["Neg", "ReduceSum"]
    assert len(outcome.applied) == 1


_BUSY = {
    "MaxPool": "t = MaxPool <kernel_shape = [1, 2]> (x)",
    "strides": "t = MaxPool <kernel_shape = [1, 1], strides = [1, 2]> (x)",
    "pads": "t = AveragePool <kernel_shape = [1, 2], pads = [0, 0, 0, 1]> (x)",
    "ReduceMean": "t = ReduceMean <axes = [3]> (x)",
    "ReduceL2": "t = ReduceL2 <axes = [2]> (x)",
    "all axes": "u = ReduceMean(x) t = Add(x, u)",
    "Resize": "t = Resize(x, , twos)",
    "Clip": "t = Clip(x, low)",
    "LpPool": "t = LpPool <kernel_shape = [1, 1]> (x)",
}


@pytest.mark.parametrize("name", _BUSY)
def test_stays(name, applying):
    assert not applying(_text(_BUSY[name]), RemoveIdleWindows()).report.events


def test_indices_of_a_pool_are_a_result_of_its_own(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[1,2,3,3] x) => (float[1,2,3,3] y, int64[1,2,3,3] i) {
        p, i = MaxPool <kernel_shape = [1, 1]> (x) y = Neg(p) }"""
    outcome = applying(text, RemoveIdleWindows())
    assert outcome.refused == ["takes single elements, but its indices are read"]


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_reductions_that_drop_their_axes_become_squeeze(opset, applying):
    reduction = "ReduceMax <axes = [2], keepdims = 0> (x)" if opset < 18 else "ReduceMax(x, two)"
    text = f"""<ir_version: 8, opset_import: ["": {opset}]>
      g (float[N,3,1] x) => (float[N,3] y) <int64[1] two = {{2}}> {{
        r = {reduction.replace("ReduceMax(", "ReduceMax <keepdims = 0> (")} y = Neg(r) }}"""
    outcome = applying(text, RemoveIdleWindows())
    assert outcome.ops == ["Squeeze", "Neg"]
    assert outcome.applied == ["ReduceMax over axes of length 1 became Squeeze"]


def test_global_pools_over_one_position(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[N,3,1,1] x) => (float[N,3,1,1] y) {
        a = GlobalAveragePool(x) b = GlobalMaxPool(a) y = Neg(b) }"""
    assert applying(text, RemoveIdleWindows()).ops == ["Neg"]
    assert not applying(text.replace("1,1] x", "1,2] x"), RemoveIdleWindows()).applied[1:]


def test_upsample_and_old_clips(applying):
    text = """<ir_version: 8, opset_import: ["": 9]>
      g (float[1,2,3,3] x) => (float[1,2,3,3] y) <float[4] s = {1, 1, 1, 1}> {
        a = Upsample(x, s) b = Clip <min = -1.0> (a) y = Clip(b) }"""
    assert applying(text, RemoveIdleWindows()).ops == ["Clip"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            """t = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, , ones)""",
            "keeps the sizes, but tf_half_pixel_for_nn looks aside",
        ),
        (
            """t = Resize <mode = "linear", antialias = 1> (x, , ones)""",
            "keeps the sizes, but with antialias",
        ),
        ("t = Clip(x, least)", "clips at -3.403e+38: infinities lie beyond"),
        ("t = Clip(x, , most)", "clips at 3.403e+38: infinities lie beyond"),
    ],
)
def test_near_misses(body, reason, applying):
    text = _text(body, 18).replace(
        "float low", "float least = {-3.4028235e38}, float most = {3.4028235e38}, float low"
    )
    assert applying(text, RemoveIdleWindows()).refused == [reason]


def test_an_output_that_would_be_an_input(applying):
    text = """<ir_version: 8, opset_import: ["": 13]>
      g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = MaxPool <kernel_shape = [1, 1]> (x) }"""
    outcome = applying(text, RemoveIdleWindows())
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]
