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
    ("body", "reason"),
    [
        (
            "y = AveragePool<kernel_shape = [4, 5], pads = [1, 1, 1, 1]>(x)",
            "pads by [1, 1, 1, 1]",
        ),
        (
            "y = MaxPool<kernel_shape = [4, 5], dilations = [1, 2], pads = [0, 4, 0, 4]>(x)",
            "pads by [0, 4, 0, 4]",
        ),
        (
            'y = AveragePool<kernel_shape = [4, 5], auto_pad = "SAME_UPPER">(x)',
            "pads by SAME_UPPER",
        ),
        ("y, where = MaxPool<kernel_shape = [4, 5]>(x)", "its indices are a result, too"),
    ],
)
def test_near_misses(applying, body, reason):
    outcome = applying(_text(body, result="a,b,c,d"), FuseWholeWindowPooling())
    assert outcome.refused == [reason]


def test_dilated_windows(applying):
    body = "y = MaxPool<kernel_shape = [4, 5], dilations = [2, 2]>(x)"
    outcome = applying(_text(body, result="a,b,c,d"), FuseWholeWindowPooling(), runs=False)
    assert outcome.refused == ["its window is dilated by [2, 2]"]


def test_free_sizes(applying):
    text = _text("y = AveragePool<kernel_shape = [4, 2]>(x)", "batch,3,4,width", "a,b,c,d")
    outcome = applying(text, FuseWholeWindowPooling())
    assert outcome.refused == ["its window is [4, 2], and the sizes of axes [3] are free"]


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        ("[4, 4]", "batch,3,4,5"),
        ("[1, 1]", "batch,3,height,width"),
        ("[2, 2]", "batch,3,height,width"),
        ("[4, 2]", "batch,3,5,width"),
    ],
)
def test_other_windows(applying, kernel, shape):
    text = _text(f"y = AveragePool<kernel_shape = {kernel}>(x)", shape, "a,b,c,d")
    assert not applying(text, FuseWholeWindowPooling()).report.events
