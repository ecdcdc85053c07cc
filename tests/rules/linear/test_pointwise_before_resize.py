"""A 1 × 1 convolution comes before the enlargement it stood behind."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import PointwiseBeforeResize

_X = "(float[1,4,5,6] x) => (float[N,C,H,W] y)"
_HELD = {
    "w": (3, 4, 1, 1), "wide": (6, 4, 1, 1), "big": (3, 4, 3, 3), "b": (3,),
    "twice": np.float32([1, 1, 2, 2]), "odd": np.float32([1, 1, 1.5, 2.3]),
    "half": np.float32([1, 1, 0.5, 0.5]), "sizes": np.int64([1, 4, 9, 13]),
    "none": np.float32([]), "spatial": np.float32([2, 2]),
}  # fmt: skip
_LINEAR = 'Resize<mode = "linear">'


def _apply(applying, network, body, signature=_X, opset=18, **more):
    used = {k: v for k, v in _HELD.items() if f", {k})" in body or f", {k}," in body}
    proto = network(signature, body, opset=opset, **(used | more))
    return applying(proto, PointwiseBeforeResize(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("p = Resize(x, , twice) y = Conv(p, w, b)", 18),
        ("p = Resize(x, , twice) [c] q = Conv(p, wide) y = Relu(q)", 18),
        ("p = Resize(x, , , sizes) q = Conv(p, w, b) y = Relu(q)", 13),
        (f"p = {_LINEAR}(x, none, none, sizes) y = Conv(p, w, b)", 11),
        (f"p = {_LINEAR}(x, , odd) y = Conv(p, w, b)", 18),
        ("p = Resize<mode = \"cubic\", axes = [-2,-1]>(x, , spatial) y = Conv(p, w, b)", 18),
        ("p = Resize<coordinate_transformation_mode = \"align_corners\", mode = \"linear\">"
         "(x, , twice) y = Conv(p, w, b)", 13),
        ("p = Resize(x, twice) y = Conv(p, w, b)", 10),
        ("p = Upsample(x, twice) y = Conv(p, w, b)", 9),
        ("p = Upsample<scales = [1.0, 1.0, 2.0, 3.0]>(x) y = Conv(p, w, b)", 8),
    ],
)  # fmt: skip
def test_they_change_places(network, applying, body, opset):
    outcome = _apply(applying, network, body, opset=opset)
    assert outcome.ops[:2] in (["Conv", "Resize"], ["Conv", "Upsample"])
    assert len(outcome.applied) == 1


def test_the_convolution_keeps_its_name(network, applying):
    body = "[r] p = Resize(x, , twice) [c] q = Conv(p, w) y = Relu(q)"
    outcome = _apply(applying, network, body)
    assert outcome.model.nodes[0].name == "c"
    assert outcome.applied == ["moved before 'r' (Resize)"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("p = Resize(x, , half) y = Conv(p, w)", "it makes the map 0.2 times as large"),
        (f"p = {_LINEAR}(x, , twice) y = Conv(p, wide)",
         "there would be 6 instead of 4 channels to interpolate"),
        ("p = Resize(x, , twice) y = Conv<strides = [2,2]>(p, w)", "it pads or skips positions"),
        ("p = Resize(x, , twice) y = Conv<pads = [1,1,1,1]>(p, w)", "it pads or skips positions"),
    ],
)  # fmt: skip
def test_near_misses(network, applying, body, reason):
    outcome = _apply(applying, network, body.replace("y = Conv", "[c] y = Conv"))
    assert outcome.refused == [f"stays before 'c' (Conv): {reason}"]


def test_sizes_of_run_time(network, applying):
    signature = "(float[1,4,5,6] x, int64[4] s) => (float[N,C,H,W] y)"
    proto = network(signature, "p = Resize(x, , , s) [c] y = Conv(p, w)", w=(3, 4, 1, 1))
    outcome = applying(proto, PointwiseBeforeResize(), runs=False)
    assert outcome.refused == ["stays before 'c' (Conv): its sizes are computed at run time"]


def test_a_free_size(network, applying):
    proto = network(
        "(float[N,4,H,W] x) => (float[A,B,C,D] y)", "p = Resize(x, , twice) y = Conv(p, w)",
        w=(3, 4, 1, 1), twice=_HELD["twice"],
    )  # fmt: skip
    feed = {"x": np.random.default_rng(0).standard_normal((2, 4, 3, 5)).astype(np.float32)}
    outcome = applying(proto, PointwiseBeforeResize(), feed=feed, rtol=1e-4, atol=1e-5)
    assert outcome.ops == ["Conv", "Resize"]


@pytest.mark.parametrize(
    "body",
    [
        "p = Resize(x, , twice) y = Conv(p, big)",
        "p = Resize(x, , twice) c = Conv(p, w) q = Relu(p) y = Concat<axis = 1>(c, q)",
        "p = Relu(x) y = Conv(p, w)",
    ],
)
def test_other_things(network, applying, body):
    outcome = _apply(applying, network, body)
    assert not outcome.applied
    assert not outcome.refused
