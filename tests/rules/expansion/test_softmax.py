"""Softmax along axes with several axes behind."""

from __future__ import annotations

import pytest

from onnxq.rules import ExpandSoftmax, FuseLogSoftmax, FuseSoftmax
from onnxq.rules.fixpoint import rewrite_all


def _text(body: str, shape: str = "1,12,8,8", opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[{shape}] x) => (float[{shape}] y) {{ {body} }}"""


_FLAT = ["Reshape", "Softmax", "Reshape"]
_PARTS = ["ReduceMax", "Sub", "Exp", "ReduceSum", "Div"]


@pytest.mark.parametrize(
    ("body", "shape", "ops"),
    [
        ("y = Softmax<axis = 1>(x)", "1,12,8,8", _FLAT),
        ("y = Softmax<axis = -3>(x)", "2,12,8,8", _FLAT),
        ("y = Softmax<axis = 1>(x)", "N,12,8,8", _FLAT),
        ("y = Softmax<axis = 1>(x)", "N,C,8,8", _FLAT),
        ("y = Softmax<axis = 0>(x)", "12,2,8,8", _FLAT),
        ("y = LogSoftmax<axis = 1>(x)", "1,12,8,8", ["Reshape", "LogSoftmax", "Reshape"]),
        ("y = Softmax<axis = 1>(x)", "1,2,8,8", _PARTS),
        ("y = LogSoftmax<axis = 1>(x)", "1,2,8,8", [*_PARTS[:-1], "Log", "Sub"]),
        ("y = Softmax<axis = 1>(x)", "1,12,4,4", ["Softmax"]),
        ("y = Softmax<axis = 1>(x)", "1,12,64,1", ["Softmax"]),
        ("y = Softmax<axis = 1>(x)", "1,12,64", ["Softmax"]),
        ("y = Softmax(x)", "1,12,64", ["Softmax"]),
        ("y = Softmax<axis = 2>(x)", "1,2,12,64", ["Softmax"]),
    ],
)
def test_axes(applying, body, shape, ops):
    assert applying(_text(body, shape), ExpandSoftmax()).ops == ops


def test_new_operator_sets(applying):
    assert applying(_text("y = Softmax<axis = 1>(x)", "1,2,8,8", 18), ExpandSoftmax()).ops == _PARTS


def test_free_lengths_behind(applying):
    outcome = applying(_text("y = Softmax<axis = 1>(x)", "1,12,H,W"), ExpandSoftmax())
    assert outcome.refused == ["the axes behind axis 1 are not fixed"]


def test_old_operator_sets_flatten_otherwise(applying):
    assert not applying(_text("y = Softmax<axis = 1>(x)", opset=11), ExpandSoftmax()).applied


class _Turns:
    """Recognition and expansion in turns, as the joint pass takes them."""

    exact = True

    def apply(self, model):
        for _ in range(2):
            yield from rewrite_all(model, (FuseSoftmax(), FuseLogSoftmax()))
            yield from rewrite_all(model, (ExpandSoftmax(),))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", ["1,12,8,8", "1,2,8,8"])
def test_recognition_does_not_undo_it(applying, op, shape):
    outcome = applying(_text(f"y = {op}<axis = 1>(x)", shape), _Turns())
    assert len(outcome.applied) == 1
