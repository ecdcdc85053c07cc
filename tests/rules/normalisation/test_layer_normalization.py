"""Layer normalisation in its spellings, and what is none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.engine import Optimization, open_session
from onnxq.rules.normalisation.layer_normalization import FuseLayerNormalization

_GRID = ", ".join(str(1.0 + i) for i in range(24))
_HEAD = """<ir_version: 8, opset_import: ["" : {opset}]>
g (float[batch,4,6] x) => (float[batch,4,6] y)
<float two = {{2.0}}, float eps = {{0.001}}, float half = {{0.5}}, float minus_half = {{-0.5}},
 float one = {{1.0}}, float zero = {{0.0}}, float sixth = {{0.16666667}},
 float[6] g = {{1.0, 2.0, 3.0, 0.5, -1.0, 2.5}},
 float[1,1,6] g3 = {{1.0, 2.0, 3.0, 0.5, -1.0, 2.5}},
 float[6] b = {{0.1, 0.2, -0.3, 0.4, 0.0, 1.0}}, float[1] g1 = {{1.5}},
 float[4,6] grid = {{{grid}}}, int64[1] last = {{-1}}, int64[3] kept = {{-1, 4, 1}}> """.replace(
    "{grid}", _GRID
)

_MEAN = "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) "
_USUAL = _MEAN + "p = Pow(d, two) v = ReduceMean<axes = [2]>(p) e = Add(v, eps) s = Sqrt(e) "
_PRODUCT = _MEAN + "p = Mul(d, d) v = ReduceMean<axes = [-1]>(p) e = Add(eps, v) s = Sqrt(e) "
_TAIL = "w = Mul(n, g) y = Add(w, b) "

_ODD = {
    "square as product": _PRODUCT + "n = Div(d, s) " + _TAIL,
    "Reciprocal": _USUAL + "r = Reciprocal(s) n = Mul(r, d) w = Mul(g, n) y = Add(b, w)",
    "roots as powers": _USUAL.replace("Sqrt(e)", "Pow(e, minus_half)") + "n = Mul(d, s) " + _TAIL,
    "power of a half": _USUAL.replace("Sqrt(e)", "Pow(e, half)") + "n = Div(d, s) " + _TAIL,
    "scale of three axes": _USUAL + "n = Div(d, s) w = Mul(n, g3) y = Add(w, b)",
    "scale of one number": _USUAL + "n = Div(d, s) w = Mul(n, g1) y = Add(w, b)",
    "scale first": _PRODUCT + "r = Reciprocal(s) f = Mul(r, g) w = Mul(d, f) y = Add(w, b)",
    "written out": _PRODUCT
    + "r = Reciprocal(s) f = Mul(r, g) a = Mul(x, f) c = Mul(m, f) h = Sub(b, c) y = Add(a, h)",
    "difference of squares": "m = ReduceMean<axes = [-1]>(x) mm = Mul(m, m) xx = Mul(x, x) "
    "q = ReduceMean<axes = [-1]>(xx) v0 = Sub(q, mm) v = Max(zero, v0) e = Add(v, eps) "
    "s = Sqrt(e) d = Sub(x, m) n = Div(d, s) " + _TAIL,
    "axes dropped and put back": "m0 = ReduceMean<axes = [-1], keepdims = 0>(x) "
    "m = Reshape(m0, kept) d = Sub(x, m) p = Mul(d, d) "
    "v0 = ReduceMean<axes = [-1], keepdims = 0>(p) v = Unsqueeze(v0, last) "
    "e = Add(v, eps) s = Sqrt(e) n = Div(d, s) " + _TAIL,
}
_FUSED_BY_THE_ENGINE = {
    "usual": _USUAL + "n = Div(d, s) " + _TAIL,
    "subtracted twice": _USUAL + "d2 = Sub(x, m) n = Div(d2, s) " + _TAIL,
    "one divided": _USUAL + "r = Div(one, s) n = Mul(d, r) " + _TAIL,
}


def _fused(proto: onnx.ModelProto, folder) -> list[str]:
    path = folder / "optimized.onnx"
    open_session(proto, threads=1, optimized_path=path, optimization=Optimization.EXTENDED)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("spelling", [*_ODD, *_FUSED_BY_THE_ENGINE])
def test_spellings(applying, spelling):
    body = (_ODD | _FUSED_BY_THE_ENGINE)[spelling]
    outcome = applying(_HEAD.format(opset=17) + "{" + body + "}", FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.applied == ["became LayerNormalization over axes [2]"]


@pytest.mark.parametrize("spelling", _ODD)
def test_old_models_take_the_spelling_that_the_engine_fuses(applying, tmp_path, spelling):
    text = _HEAD.format(opset=13) + "{" + _ODD[spelling] + "}"
    assert "LayerNormalization" not in _fused(parse_model(text), tmp_path)
    outcome = applying(text, FuseLayerNormalization())
    assert outcome.applied == ["took the usual spelling of LayerNormalization over axes [2]"]
    assert _fused(outcome.after, tmp_path) == ["LayerNormalization"]


@pytest.mark.parametrize("spelling", _FUSED_BY_THE_ENGINE)
def test_what_the_engine_fuses_stays_below_operator_set_17(applying, tmp_path, spelling):
    text = _HEAD.format(opset=13) + "{" + _FUSED_BY_THE_ENGINE[spelling] + "}"
    outcome = applying(text, FuseLayerNormalization())
    assert not outcome.applied
    (event,) = outcome.report.refused
    assert event.reason == "LayerNormalization needs operator set 17, here 13"
    assert event.needs_opset == 17
    assert "LayerNormalization" in _fused(outcome.after, tmp_path)


def test_without_scale(applying):
    body = "{" + _USUAL + "y = Div(d, s) }"
    assert applying(_HEAD.format(opset=17) + body, FuseLayerNormalization()).ops == [
        "LayerNormalization"
    ]
    outcome = applying(_HEAD.format(opset=13) + body, FuseLayerNormalization())
    assert outcome.refused == ["LayerNormalization needs operator set 17, here 13"]


def test_bias_alone(applying):
    body = "{" + _USUAL + "n = Div(d, s) y = Add(n, b) }"
    outcome = applying(_HEAD.format(opset=17) + body, FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization"]


def test_axes_as_inputs_and_several_axes(applying):
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[batch,3,4] x) => (float[batch,3,4] y)
    <float eps = {0.001}, int64[2] axes = {-1, 1},
     float[3,4] g = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>
    { m = ReduceMean(x, axes) d = Sub(x, m) p = Mul(d, d) v = ReduceMean(p, axes)
      e = Add(v, eps) s = Sqrt(e) n = Div(d, s) y = Mul(n, g) }"""
    outcome = applying(text, FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization"]
    assert outcome.model.nodes[0].attrs["axis"] == -2


def test_inner_results_that_others_read_stay(applying):
    text = _HEAD.format(opset=17).replace(
        "(float[batch,4,6] y)", "(float[batch,4,6] y, float[batch,4,1] m, float[batch,4,6] d)"
    )
    outcome = applying(
        text + "{" + _USUAL + "n = Div(d, s) " + _TAIL + "}", FuseLayerNormalization()
    )
    assert sorted(outcome.ops) == ["LayerNormalization", "ReduceMean", "Sub"]


def test_scale_stays_outside_where_others_read_what_it_scales(applying):
    text = _HEAD.format(opset=17).replace(
        "(float[batch,4,6] y)", "(float[batch,4,6] y, float[batch,4,6] n)"
    )
    outcome = applying(
        text + "{" + _USUAL + "n = Div(d, s) " + _TAIL + "}", FuseLayerNormalization()
    )
    assert outcome.ops == ["LayerNormalization", "Mul", "Add"]


def test_scale_along_other_axes_stays_outside(applying):
    body = "{" + _USUAL + "n = Div(d, s) y = Mul(n, grid) }"
    outcome = applying(_HEAD.format(opset=17) + body, FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization", "Mul"]


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        (
            _HEAD.format(opset=17),
            _PRODUCT + "r = Reciprocal(s) f = Mul(r, grid) y = Mul(d, f)",
            "the scale within varies along other axes than the statistics",
        ),
        (
            _HEAD.format(opset=17).replace("[batch,4,6]", "[batch,4,width]"),
            _USUAL + "y = Div(d, s)",
            "the sizes of the normalised axes are not known",
        ),
        (
            """<ir_version: 8, opset_import: ["" : 17]> g (double[2,6] x) => (double[2,6] y)
            <double eps = {0.001}>""",
            "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Mul(d, d) "
            "v = ReduceMean<axes = [-1]>(p) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
            "the input is float64, not float32",
        ),
    ],
)
def test_near_misses(applying, head, body, reason):
    feed = {"runs": "float64" not in reason}
    outcome = applying(head + "{" + body + "}", FuseLayerNormalization(), **feed)
    assert outcome.refused == [reason]
    assert not outcome.applied


@pytest.mark.parametrize(
    "body",
    [
        # Another tensor's mean; another axis for the variance; epsilon behind the root; the
        # tensor itself divided; a statistic that does not fit without its axis.
        "m = ReduceMean<axes = [-1]>(x) a = Abs(x) d = Sub(a, m) p = Mul(d, d) "
        "v = ReduceMean<axes = [-1]>(p) e = Add(v, eps) s = Sqrt(e) c = Sub(x, m) y = Div(c, s)",
        _MEAN
        + "p = Mul(d, d) v = ReduceMean<axes = [1]>(p) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
        _MEAN
        + "p = Mul(d, d) v = ReduceMean<axes = [-1]>(p) r = Sqrt(v) s = Add(r, eps) y = Div(d, s)",
        _USUAL + "y = Div(x, s)",
        _USUAL + "y = Div(s, d)",
        _MEAN
        + "p = Mul(d, x) v = ReduceMean<axes = [-1]>(p) a = Abs(v) e = Add(a, eps) s = Sqrt(e) "
        "y = Div(d, s)",
        "y = Sqrt(x)",
        "y = Pow(x, two)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_HEAD.format(opset=17) + "{" + body + "}", FuseLayerNormalization())
    assert not outcome.applied
    assert not outcome.refused


def test_statistic_without_its_axis_does_not_fit(applying):
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[6,6] x) => (float[6,6] y)
    <float eps = {0.001}>
    { m = ReduceMean<axes = [-1], keepdims = 0>(x) d = Sub(x, m) p = Mul(d, d)
      v = ReduceMean<axes = [-1], keepdims = 0>(p) e = Add(v, eps) s = Sqrt(e) y = Div(d, s) }"""
    assert not applying(text, FuseLayerNormalization()).applied


def test_epsilon_and_random_parameters(applying):
    generator = np.random.default_rng(0)
    for _ in range(4):
        width = int(generator.integers(1, 20))
        scale, bias = generator.standard_normal((2, width))
        epsilon = 10.0 ** -generator.integers(1, 6)
        text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[3,{width}] x) => (float[3,{width}] y)
        <float eps = {{{epsilon:.8f}}}, float[{width}] g = {{{", ".join(map(str, scale))}}},
         float[{width}] b = {{{", ".join(map(str, bias))}}}>
        {{ m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes = [-1]>(p)
          e = Add(v, eps) s = Sqrt(e) n = Div(d, s) w = Mul(n, g) y = Add(w, b) }}"""
        outcome = applying(text, FuseLayerNormalization(), rtol=2e-4, atol=1e-5)
        assert outcome.ops == ["LayerNormalization"]
        assert outcome.model.nodes[0].attrs["epsilon"] == pytest.approx(epsilon, rel=1e-6)


def test_a_scale_that_callers_may_override_stays_outside(applying):
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x, float[3] g) => (float[2,3] y)
    <float eps = {0.001}, float[3] g = {1.0, 2.0, 3.0}>
    { m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes = [-1]>(p)
      e = Add(v, eps) s = Sqrt(e) n = Div(d, s) y = Mul(n, g) }"""
    outcome = applying(text, FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization", "Mul"]


def test_what_a_body_reads_stays(applying):
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x, bool c) => (float[2,3] y, float[2,3] z)
    <float eps = {0.001}, float[3] g = {1.0, 2.0, 3.0}>
    { m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes = [-1]>(p)
      e = Add(v, eps) s = Sqrt(e) n = Div(d, s) y = Mul(n, g)
      z = If(c) <then_branch = a () => (float[2,3] t) { t = Neg(n) },
                 else_branch = b () => (float[2,3] u) { u = Abs(n) }> }"""
    outcome = applying(text, FuseLayerNormalization())
    assert outcome.ops == ["LayerNormalization", "Mul", "If"]
