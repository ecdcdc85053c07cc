"""Sizes of Resize that are multiples of the input's become scales."""

from __future__ import annotations

import pytest

from onnxq.graph import read
from onnxq.rules.cleaning.fix_scales import FixScales


def _text(sizes: str, attributes: str = 'mode = "nearest"', opset: int = 13) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g (float[N,2,H,W] x) => (float[A,B,C,D] y)
      <int64[1] i0 = {{0}}, int64[1] i2 = {{2}}, int64[1] i4 = {{4}}, int64[2] twice = {{2, 2}},
       int64[1] one = {{1}}, int64[4] all = {{1, 1, 3, 2}}, int64[1] i1 = {{1}}, int64 five =
       {{5}}> {{
        s = Shape(x) f = Slice(s, i0, i2) l = Slice(s, i2, i4) {sizes}
        y = Resize <{attributes}> (x, , , z) }}"""


@pytest.mark.parametrize(
    "attributes",
    [
        'mode = "nearest"',
        'mode = "linear"',
        'mode = "linear", coordinate_transformation_mode = "align_corners"',
        'mode = "cubic", coordinate_transformation_mode = "pytorch_half_pixel"',
        'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"',
    ],
)
def test_doubled(attributes, applying):
    outcome = applying(
        _text("m = Mul(l, twice) z = Concat <axis = 0> (f, m)", attributes), FixScales()
    )
    assert outcome.applied == ["its scales are always [1, 1, 2, 2]"]
    assert outcome.ops == ["Resize"]
    scales = outcome.model.nodes[0].inputs[2]
    assert read(scales).tolist() == [1, 1, 2, 2]


def test_everything_multiplied(applying):
    outcome = applying(_text("z = Mul(s, all)"), FixScales())
    assert outcome.applied == ["its scales are always [1, 1, 3, 2]"]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ("m = Add(l, twice) z = Concat <axis = 0> (f, m)", "the size of axis 2 is no multiple of "),
        ("m = Div(l, twice) z = Concat <axis = 0> (f, m)", "the size of axis 2 is no multiple of "),
    ],
)
def test_refused(sizes, reason, applying):
    (found,) = applying(_text(sizes), FixScales()).refused
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("attributes", "opset"),
    [
        ('coordinate_transformation_mode = "tf_crop_and_resize"', 13),
        ('keep_aspect_ratio_policy = "not_larger"', 18),
        ("axes = [0, 1, 2, 3]", 18),
    ],
)
def test_other_meanings_of_sizes(attributes, opset, applying):
    text = _text("z = Mul(s, all)", attributes, opset)
    assert not applying(text, FixScales(), runs=False).report.events
