"""Root-mean-square normalisation in its spellings."""

from __future__ import annotations

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.engine import Optimization, open_session
from onnxq.rules.normalisation.rms_normalization import FuseRMSNormalization

_HEAD = """<ir_version: 10, opset_import: ["" : {opset}]>
g (float[batch,4,6] x) => (float[batch,4,6] y)
<float two = {{2.0}}, float eps = {{0.001}}, float minus_half = {{-0.5}}, float one = {{1.0}},
 float[6] g = {{1.0, 2.0, 3.0, 0.5, -1.0, 2.5}},
 float[1,1,6] g3 = {{1.0, 2.0, 3.0, 0.5, -1.0, 2.5}},
 float[6] b = {{0.1, 0.2, -0.3, 0.4, 0.0, 1.0}}, float[4,1] rows = {{1.0, 2.0, 3.0, 4.0}},
 int64[1] last = {{-1}}> """

_PRODUCT = "p = Mul(x, x) v = ReduceMean(p, last) e = Add(v, eps) s = Sqrt(e) "
_POWER = _PRODUCT.replace("Mul(x, x)", "Pow(x, two)")
_ODD = {
    "square as product": _PRODUCT + "n = Div(x, s) y = Mul(n, g)",
    "Reciprocal": _POWER + "r = Reciprocal(s) n = Mul(x, r) y = Mul(g, n)",
    "root as power": _POWER.replace("Sqrt(e)", "Pow(e, minus_half)")
    + "n = Mul(x, s) y = Mul(n, g)",
    "scale of three axes": _POWER + "n = Div(x, s) y = Mul(n, g3)",
    "scale first": _POWER + "r = Reciprocal(s) f = Mul(r, g) y = Mul(x, f)",
}
_USUAL = {
    "divided": _POWER + "n = Div(x, s) y = Mul(n, g)",
    "one divided": _POWER + "r = Div(one, s) n = Mul(x, r) y = Mul(n, g)",
}


def _fused(proto: onnx.ModelProto, folder) -> list[str]:
    path = folder / "optimized.onnx"
    open_session(proto, threads=1, optimized_path=path, optimization=Optimization.EXTENDED)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("spelling", _ODD)
def test_operator(applying, spelling):
    outcome = applying(_HEAD.format(opset=23) + "{" + _ODD[spelling] + "}", FuseRMSNormalization())
    assert outcome.ops == ["RMSNormalization"]
    assert outcome.applied == ["became RMSNormalization"]


@pytest.mark.parametrize("spelling", _ODD)
def test_usual_spelling_below_operator_set_23(applying, tmp_path, spelling):
    text = _HEAD.format(opset=18) + "{" + _ODD[spelling] + "}"
    assert "SimplifiedLayerNormalization" not in _fused(parse_model(text), tmp_path)
    outcome = applying(text, FuseRMSNormalization())
    assert outcome.applied == ["took the usual spelling of RMSNormalization"]
    assert _fused(outcome.after, tmp_path) == ["SimplifiedLayerNormalization"]


@pytest.mark.parametrize("opset", [18, 23])
@pytest.mark.parametrize("spelling", _USUAL)
def test_what_the_engine_fuses_stays(applying, tmp_path, spelling, opset):
    text = _HEAD.format(opset=opset) + "{" + _USUAL[spelling] + "}"
    outcome = applying(text, FuseRMSNormalization())
    assert not outcome.applied
    assert not outcome.refused
    assert _fused(outcome.after, tmp_path) == ["SimplifiedLayerNormalization"]


def test_axes_as_attribute(applying):
    text = _HEAD.format(opset=13) + "{" + _ODD["Reciprocal"] + "}"
    text = text.replace("ReduceMean(p, last)", "ReduceMean<axes = [2]>(p)")
    assert len(applying(text, FuseRMSNormalization()).applied) == 1


def test_without_scale(applying):
    body = "{" + _PRODUCT + "y = Div(x, s) }"
    assert applying(_HEAD.format(opset=23) + body, FuseRMSNormalization()).ops == [
        "RMSNormalization"
    ]
    outcome = applying(_HEAD.format(opset=18) + body, FuseRMSNormalization())
    assert outcome.refused == ["without a scale it needs operator set 23, here 18"]
    assert outcome.report.refused[0].needs_opset == 23


@pytest.mark.parametrize(
    "tail", ["n = Div(x, s) w = Mul(n, g)", "r = Reciprocal(s) f = Mul(r, g) w = Mul(x, f)"]
)
def test_bias_stays_a_node(applying, tail):
    body = "{" + _PRODUCT + tail + " y = Add(w, b) }"
    outcome = applying(_HEAD.format(opset=23) + body, FuseRMSNormalization())
    assert outcome.ops == ["RMSNormalization", "Add"]


def test_bias_without_scale(applying):
    body = "{" + _PRODUCT + "n = Div(x, s) y = Add(n, b) }"
    outcome = applying(_HEAD.format(opset=23) + body, FuseRMSNormalization())
    assert outcome.ops == ["RMSNormalization", "Add"]


@pytest.mark.parametrize(
    ("old", "new", "body", "reason"),
    [
        (
            "batch,4,6",
            "batch,4,width",
            _PRODUCT + "y = Div(x, s)",
            "the size of the last axis is not known",
        ),
        (
            "",
            "",
            _POWER + "r = Reciprocal(s) f = Mul(r, rows) y = Mul(x, f)",
            "the scale within varies along other axes than the last",
        ),
    ],
)
def test_near_misses(applying, old, new, body, reason):
    text = _HEAD.format(opset=23).replace(old or "#", new)
    outcome = applying(text + "{" + body + "}", FuseRMSNormalization())
    assert outcome.refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "p = Mul(x, x) v = ReduceMean<keepdims = 0>(p, last) e = Add(v, eps) s = Sqrt(e) "
        "y = Add(x, b)",
        _PRODUCT + "a = Abs(x) y = Div(a, s)",
        "m = ReduceMean(x, last) d = Sub(x, m) p = Mul(d, d) v = ReduceMean(p, last) "
        "e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_HEAD.format(opset=18) + "{" + body + "}", FuseRMSNormalization())
    assert not outcome.applied
    assert not outcome.refused
