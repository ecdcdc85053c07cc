"""Poolings whose window covers their input."""

from __future__ import annotations

import pytest

from onnxq.rules.structure.whole_window_pooling import FuseWholeWindowPooling


def _text(body: str, shape: str = "batch,3,4,5", result: str = "batch,3,1,1") -> str:
    return f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[{shape}] x) => (float[{result}] y) {{ {body} }}"""


@pytest.mark.parametrize(
    ("body", "op"),
    [
        ("y = AveragePool<kernel_shape = [4, 5]>(x)", "GlobalAveragePool"),
        ("y = AveragePool<kernel_shape = [4, 5], strides = [3, 3]>(x)", "GlobalAveragePool"),
        ('y = AveragePool<kernel_shape = [4, 5], auto_pad = "VALID">(x)', "GlobalAveragePool"),
        ("y = MaxPool<kernel_shape = [4, 5], pads = [0, 0, 0, 0]>(x)", "GlobalMaxPool"),
    ],
)
def test_images(applying, body, op):
    outcome = applying(_text(body), FuseWholeWindowPooling())
    assert outcome.ops == [op]
    assert outcome.applied == [f"became {op}: its window covers the input"]


def test_sequences(applying):
    text = _text("y = AveragePool<kernel_shape = [7]>(x)", "batch,3,7", "batch,3,1")
    assert applying(text, FuseWholeWindowPooling()).ops == ["GlobalAveragePool"]


@pytest.mark.parametrize(
    "body",
    [
        "y = AveragePool<kernel_shape = [4, 4]>(x)",
        "y = AveragePool<kernel_shape = [4, 5], pads = [1, 1, 1, 1]>(x)",
        "y = MaxPool<kernel_shape = [4, 5], dilations = [2, 2], pads = [3, 3, 3, 3]>(x)",
        'y = AveragePool<kernel_shape = [4, 5], auto_pad = "SAME_UPPER">(x)',
        "y, where = MaxPool<kernel_shape = [4, 5]>(x)",
    ],
)
def test_other_windows(applying, body):
    assert not applying(_text(body, result="a,b,c,d"), FuseWholeWindowPooling()).applied


def test_free_sizes(applying):
    text = _text("y = AveragePool<kernel_shape = [1, 1]>(x)", "batch,3,height,width", "a,b,c,d")
    assert not applying(text, FuseWholeWindowPooling()).applied
