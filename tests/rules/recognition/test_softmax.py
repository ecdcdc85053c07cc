"""Softmax and LogSoftmax spelled out."""

from __future__ import annotations

import pytest

from onnxq.rules import FuseLogSoftmax, FuseSoftmax


def _text(body: str, opset: int = 13, shape: str = "2,3,8", inputs: str = "") -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x{inputs}) => (float[{shape}] y)
    <int64[1] last = {{-1}}, int64[1] two = {{2}}, int64[1] middle = {{1}}, int64[3] kept =
     {{2, 3, 1}}, int64[3] full = {{2, 3, 8}}, int64[2] both = {{1, 2}}> {{ {body} }}"""


_MAX = "m = ReduceMax<axes = [-1]>(x) d = Sub(x, m)"
_SUM = "s = ReduceSum(e, last)"

_SPELLINGS = {
    "with the maximum": f"{_MAX} e = Exp(d) {_SUM} y = Div(e, s)",
    "without": f"e = Exp(x) {_SUM} y = Div(e, s)",
    "by a reciprocal": f"{_MAX} e = Exp(d) {_SUM} r = Reciprocal(s) y = Mul(e, r)",
    "by a reciprocal, first": f"{_MAX} e = Exp(d) {_SUM} r = Reciprocal(s) y = Mul(r, e)",
    "axes counted from both ends": f"{_MAX} e = Exp(d) s = ReduceSum(e, two) y = Div(e, s)",
    "axes put back": "n = ReduceMax<axes = [-1], keepdims = 0>(x) m = Reshape(n, kept) "
    "d = Sub(x, m) e = Exp(d) t = ReduceSum<keepdims = 0>(e, last) s = Unsqueeze(t, last) "
    "y = Div(e, s)",
    "axes put back and spread": "n = ReduceMax<axes = [-1], keepdims = 0>(x) "
    "o = Unsqueeze(n, two) m = Expand(o, full) d = Sub(x, m) e = Exp(d) "
    "t = ReduceSum<keepdims = 0>(e, last) p = Reshape(t, kept) s = Expand(p, full) y = Div(e, s)",
}


@pytest.mark.parametrize("name", _SPELLINGS)
def test_softmax(applying, name):
    outcome = applying(_text(_SPELLINGS[name]), FuseSoftmax())
    assert outcome.ops == ["Softmax"]


def test_any_other_shift_stays(applying):
    body = f"m = ReduceMax(x) d = Sub(x, m) e = Exp(d) {_SUM} y = Div(e, s)"
    assert applying(_text(body), FuseSoftmax()).ops == ["ReduceMax", "Sub", "Softmax"]
    body = f"m = ReduceMean<axes = [2]>(x) d = Sub(x, m) e = Exp(d) {_SUM} y = Div(e, s)"
    assert applying(_text(body), FuseSoftmax()).ops == ["ReduceMean", "Sub", "Softmax"]


def test_old_operator_sets(applying):
    body = "e = Exp(x) s = ReduceSum<axes = [-1]>(e) y = Div(e, s)"
    outcome = applying(_text(body, 11), FuseSoftmax())
    assert outcome.ops == ["Softmax"]
    assert outcome.model.nodes[0].attrs["axis"] == 2


def test_new_operator_sets(applying):
    body = f"m = ReduceMax(x, last) d = Sub(x, m) e = Exp(d) {_SUM} y = Div(e, s)"
    assert applying(_text(body, 18), FuseSoftmax()).ops == ["Softmax"]


def test_other_axes_are_refused(applying):
    body = "e = Exp(x) s = ReduceSum(e, middle) y = Div(e, s)"
    assert applying(_text(body), FuseSoftmax()).refused == ["axis 1 is not known to be the last"]


@pytest.mark.parametrize(
    "body",
    [
        "e = Exp(x) s = ReduceSum(e, both) y = Div(e, s)",
        "e = Exp(x) s = ReduceSum(x, last) y = Div(e, s)",
        "e = Exp(x) s = ReduceSum(e) y = Div(e, s)",
        "e = Exp(x) s = ReduceMax<axes = [-1]>(e) y = Div(e, s)",
        f"e = Exp(x) {_SUM} d = Div(e, s) y = Add(d, e)",
        f"e = Exp(x) {_SUM} y = Div(s, e)",
    ],
)
def test_no_softmax(applying, body):
    outcome = applying(_text(body), FuseSoftmax())
    assert not outcome.applied
    assert not outcome.refused


_LOGARITHMS = {
    "of Softmax": "s = Softmax(x) y = Log(s)",
    "of Softmax, axis": "s = Softmax<axis = 1>(x) y = Log(s)",
    "ReduceLogSumExp": "l = ReduceLogSumExp<axes = [2]>(x) y = Sub(x, l)",
    "spelled": f"e = Exp(x) {_SUM} l = Log(s) y = Sub(x, l)",
    "with the maximum": f"{_MAX} e = Exp(d) {_SUM} l = Log(s) y = Sub(d, l)",
}


@pytest.mark.parametrize("name", _LOGARITHMS)
def test_log_softmax(applying, name):
    assert applying(_text(_LOGARITHMS[name]), FuseLogSoftmax()).ops == ["LogSoftmax"]


def test_log_softmax_of_old_operator_sets(applying):
    outcome = applying(_text("s = Softmax(x) y = Log(s)", 11), FuseLogSoftmax())
    assert outcome.ops == ["LogSoftmax"]
    assert "axis" not in outcome.model.nodes[0].attrs
    body = "e = Exp(x) s = ReduceSum<axes = [2]>(e) l = Log(s) y = Sub(x, l)"
    assert applying(_text(body, 11), FuseLogSoftmax()).ops == ["LogSoftmax"]


@pytest.mark.parametrize(
    "body",
    [
        "s = Sigmoid(x) y = Log(s)",
        "l = ReduceLogSumExp<axes = [2]>(x) y = Sub(l, x)",
        "l = ReduceLogSumExp(x) y = Sub(x, l)",
        "e = Exp(x) s = ReduceSum(e, last) l = Log(s) n = Neg(x) y = Sub(n, l)",
    ],
)
def test_no_log_softmax(applying, body):
    outcome = applying(_text(body), FuseLogSoftmax())
    assert not outcome.applied
    assert not outcome.refused


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("s = Softmax(x) l = Log(s) y = Add(s, l)", "'s' is also read elsewhere"),
        (
            "l = ReduceLogSumExp<axes = [1]>(x) y = Sub(x, l)",
            "axis 1 is not known to be the last",
        ),
        (
            "e = Exp(x) s = ReduceSum(e, middle) l = Log(s) y = Sub(x, l)",
            "axis 1 is not known to be the last",
        ),
    ],
)
def test_nearly_log_softmax(applying, body, reason):
    assert applying(_text(body), FuseLogSoftmax()).refused == [reason]


def test_log_softmax_of_other_types_is_refused(applying):
    text = _text(_LOGARITHMS["of Softmax"]).replace("float", "double")
    assert applying(text, FuseLogSoftmax()).refused == ["the input is float64, not float32"]


def test_unknown_rank(applying):
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[2,8] x, int64[r] shape) => (float z) <int64[1] last = {-1}>
    { v = Reshape(x, shape) e = Exp(v) s = ReduceSum(e, last) y = Div(e, s) z = Neg(y) }"""
    outcome = applying(text, FuseSoftmax(), runs=False)
    assert outcome.ops == ["Reshape", "Softmax", "Neg"]
