"""Add and LayerNormalization stay two nodes in the engine."""

from __future__ import annotations

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.engine import Optimization, open_session
from onnxq.rules.normalisation.keep_apart import KeepLayerNormalizationApart

_TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch,length,4] x, float[batch,length,4] z) => (float[batch,length,4] y)
<float[4] g = {1.0, 2.0, 3.0, 0.5}, float[4] b = {0.1, 0.2, -0.3, 0.4}>
{ a = Add(x, z) y = LayerNormalization<axis = -1>(a, g, b) }"""


def _fused(proto: onnx.ModelProto, folder) -> list[str]:
    path = folder / "optimized.onnx"
    open_session(proto, threads=1, optimized_path=path, optimization=Optimization.EXTENDED)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("text", [_TEXT, _TEXT.replace("(a, g, b)", "(a, g)")])
def test_residual_sums(applying, tmp_path, text):
    assert _fused(parse_model(text), tmp_path) == ["SkipLayerNormalization"]
    outcome = applying(text, KeepLayerNormalizationApart())
    assert outcome.applied == ["keeps apart from Add_0 in the engine"]
    assert _fused(outcome.after, tmp_path) == ["Add", "LayerNormalization"]


def test_a_scale_that_others_read_is_theirs(applying):
    text = _TEXT.replace("}\n{", "}\n{").replace(
        "float[batch,length,4] y)", "float[batch,length,4] y, float[4] t)"
    )
    text = text.replace("y = Layer", "t = Abs(g) y = Layer")
    outcome = applying(text, KeepLayerNormalizationApart())
    assert len(outcome.applied) == 1


@pytest.mark.parametrize(
    "text",
    [
        _TEXT.replace("4] y)", "4] y, float[batch,length,4] a)"),
        _TEXT.replace("Add(x, z)", "Sub(x, z)"),
        _TEXT.replace("batch,length", "batch"),
        _TEXT.replace("float[4] g", "float[1,1,4] g"),
        _TEXT.replace("y = Layer", "z0 = Layer").replace("(a, g, b)", "(a, g, b) y = Mul(a, z0)"),
    ],
)
def test_what_the_engine_does_not_join(applying, tmp_path, text):
    assert "SkipLayerNormalization" not in _fused(parse_model(text), tmp_path)
    outcome = applying(text, KeepLayerNormalizationApart())
    assert not outcome.applied
    assert not outcome.refused


_GIVEN = _TEXT.replace("4] z)", "4] z, float[4] s)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            _GIVEN.replace("y = Layer", "c = Abs(s) y = Layer").replace("(a, g, b)", "(a, c, b)"),
            "'c' is computed or may be overridden at run time",
        ),
        (_GIVEN.replace(" s)", " g)"), "'g' is computed or may be overridden at run time"),
    ],
)
def test_scales_that_are_no_constants(applying, tmp_path, text, reason):
    assert "SkipLayerNormalization" in _fused(parse_model(text), tmp_path)
    assert applying(text, KeepLayerNormalizationApart()).refused == [reason]


def test_unknown_ranks(applying):
    text = _TEXT.replace("4] z)", "4] z, int64[K] s)").replace("y = Layer", "v = Layer")
    text = text.replace("Add(x, z)", "Add(r, r)").replace("{ a", "{ r = Reshape(x, s) a")
    text = text.replace("b) }", "b) y = Reshape(v, s) }")
    outcome = applying(text, KeepLayerNormalizationApart(), runs=False)
    assert outcome.refused == ["the number of axes of 'a' is not known"]


def test_other_types_are_refused(applying):
    text = _TEXT.replace("float[", "double[")
    outcome = applying(text, KeepLayerNormalizationApart(), runs=False)
    assert outcome.refused == ["the scale is float64, not float32"]
