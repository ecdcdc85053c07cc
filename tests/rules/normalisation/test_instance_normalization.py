"""Instance normalisation spelled with reductions."""

from __future__ import annotations

import pytest

from onnxq.rules.normalisation.instance_normalization import FuseInstanceNormalization
from onnxq.rules.normalisation.layer_normalization import FuseLayerNormalization

_HEAD = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch,3,4,height] x) => (float[batch,3,4,height] y)
<float two = {2.0}, float eps = {0.001}, float[3,1,1] g = {1.0, 2.0, -3.0},
 float[1,3,1,1] b = {0.5, 0.0, 1.0}, float[4,1] rows = {1.0, 2.0, 3.0, 4.0}> """
_MEAN = "m = ReduceMean<axes = [2, 3]>(x) d = Sub(x, m) "
_STATISTICS = (
    _MEAN + "p = Pow(d, two) v = ReduceMean<axes = [-1, -2]>(p) e = Add(v, eps) s = Sqrt(e) "
)


@pytest.mark.parametrize(
    "body",
    [
        _STATISTICS + "n = Div(d, s) w = Mul(n, g) y = Add(w, b)",
        _STATISTICS + "n = Div(d, s) y = Mul(g, n)",
        _STATISTICS + "n = Div(d, s) y = Add(b, n)",
        _STATISTICS + "y = Div(d, s)",
        _STATISTICS.replace("ReduceMean<axes = [2, 3]>", "GlobalAveragePool")
        + "r = Reciprocal(s) f = Mul(r, g) a = Mul(x, f) c = Mul(m, f) h = Sub(b, c) y = Add(a, h)",
    ],
)
def test_spellings(applying, body):
    outcome = applying(_HEAD + "{" + body + "}", FuseInstanceNormalization())
    assert outcome.ops == ["InstanceNormalization"]
    assert outcome.applied == ["became InstanceNormalization of 3 channels"]


def test_groups_between_reshapes(applying):
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[batch,6,4,4] x) => (float[batch,6,4,4] y)
    <float eps = {0.001}, int64[1] axes = {2}, int64[3] groups = {0, 2, -1},
     int64[4] back = {0, 6, 4, 4}, float[6,1,1] g = {1, 2, 3, 4, 5, 6}>
    { r = Reshape(x, groups) m = ReduceMean(r, axes) d = Sub(r, m) p = Mul(d, d)
      v = ReduceMean(p, axes) e = Add(v, eps) s = Sqrt(e) q = Div(d, s) b = Reshape(q, back)
      y = Mul(b, g) }"""
    ops = ["Reshape", "InstanceNormalization", "Reshape", "Mul"]
    assert applying(text, FuseInstanceNormalization()).ops == ops
    assert not applying(text, FuseLayerNormalization()).applied
    five_axes = text.replace("int64[3] groups = {0, 2, -1}", "int64[5] groups = {0, 2, 3, 4, 4}")
    five_axes = five_axes.replace("int64[1] axes = {2}", "int64[3] axes = {2, 3, 4}")
    assert applying(five_axes, FuseInstanceNormalization()).ops == ops


_ROWS = """<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4] x) => (float[2,3,4] y)
<float eps = {0.001}, float[3,1] channel = {1, 2, 3}, float[4] feature = {1, 2, 3, 4},
 float one = {2.0}>
{ m = ReduceMean<axes = [2]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes = [2]>(p)
  e = Add(v, eps) s = Sqrt(e) n = Div(d, s) """


@pytest.mark.parametrize(
    ("tail", "instance"),
    [
        ("y = Mul(n, channel)", True),
        ("y = Add(n, channel)", True),
        ("y = Mul(n, feature)", False),
        ("y = Mul(n, one)", False),
        ("y = Identity(n)", False),
    ],
)
def test_with_three_axes_scale_and_bias_decide(applying, tail, instance):
    rules = {True: FuseInstanceNormalization(), False: FuseLayerNormalization()}
    assert len(applying(_ROWS + tail + "}", rules[instance]).applied) == 1
    other = applying(_ROWS + tail + "}", rules[not instance])
    assert not other.applied
    assert not other.refused


def test_feature_maps_scaled_by_position_are_layer_normalisation(applying):
    text = _HEAD.replace("height", "5") + "{" + _STATISTICS + "n = Div(d, s) y = Mul(n, rows) }"
    assert not applying(text, FuseInstanceNormalization()).applied
    assert applying(text, FuseLayerNormalization()).ops == ["LayerNormalization"]


def test_near_misses(applying):
    text = (_HEAD + "{" + _STATISTICS + "y = Div(d, s) }").replace("float", "double")
    outcome = applying(text, FuseInstanceNormalization(), runs=False)
    assert outcome.refused == ["the input is float64, not float32"]


def test_unknown_number_of_channels(applying):
    text = (_HEAD + "{" + _STATISTICS + "y = Div(d, s) }").replace("batch,3", "batch,channels")
    outcome = applying(text, FuseInstanceNormalization())
    assert not outcome.applied
    outcome = applying(text, FuseLayerNormalization())
    assert outcome.refused == ["the sizes of the normalised axes are not known"]
