"""Operators that a map passes: from a convolution behind them, and on to one before them."""

from __future__ import annotations

import numpy as np
import pytest

_CONV = {"w": (4, 4, 1, 1), "b": (4,)}
_VECTOR = (4, 1, 1)


def _behind(folding, transport, a, c=None, op="t", **constants):
    last = f"s = Mul({op}, a) y = Add(s, c)" if c is not None else f"y = Mul({op}, a)"
    more = {} if c is None else {"c": c}
    body = f"{{ u = Conv(x, w, b) {transport} {last} }}"
    return folding(body, **_CONV, a=a, **more, **constants)


def _before(folding, transport, a, c=None, opset=17, **constants):
    first = "u = Mul(h, a)" if c is None else "s = Mul(h, a) u = Add(s, c)"
    more = {} if c is None else {"c": c}
    weight = {"w": (4, 4, 1, 1)}
    body = f"{{ h = Tanh(x) {first} {transport} y = Conv(t, w) }}"
    return folding(body, **weight, a=a, **more, opset=opset, **constants)


_ANY = {
    "Identity": ("t = Identity(u)", {}),
    "Dropout": ("t = Dropout(u)", {}),
    "average": ("t = AveragePool <kernel_shape = [2, 2]> (u)", {}),
    "uncounted": ("t = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (u)", {}),
    "ceil": ("t = AveragePool <kernel_shape = [4, 4], strides = [3, 3], ceil_mode = 1> (u)", {}),
    "global": ("t = GlobalAveragePool(u)", {}),
    "mean": ("t = ReduceMean <axes = [2, -1]> (u)", {}),
    "nearest": ('t = Resize <mode = "nearest"> (u, "", sizes)', {}),
    "linear": ('t = Resize <mode = "linear"> (u, "", sizes)', {}),
    "cubic": ('t = Resize <mode = "cubic", exclude_outside = 1> (u, "", sizes)', {}),
    "to size": ('t = Resize <mode = "linear"> (u, "", "", whole)', {}),
    "Tile": ("t = Tile(u, repeats)", {}),
    "edge": ('t = Pad <mode = "edge"> (u, pads)', {}),
    "reflect": ('t = Pad <mode = "reflect"> (u, pads)', {}),
    "Slice": ("t = Slice(u, two, three, axis)", {}),
    "two ways": (
        "r = Transpose <perm = [2, 1, 0, 3]> (u) t = Transpose <perm = [2, 1, 0, 3]> (r)",
        {},
    ),
    "reshaped": ("r = Reshape(u, flat) t = Reshape(r, back)", {}),
    "squeezed": ("r = Unsqueeze(u, axis) t = Squeeze(r, axis)", {}),
}
_VALUES = {
    "sizes": np.float32([1, 1, 1.5, 2]),
    "whole": np.int64([2, 4, 9, 4]),
    "repeats": np.int64([1, 1, 2, 1]),
    "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 0]),
    "two": np.int64([1]),
    "three": np.int64([5]),
    "axis": np.int64([2]),
    "flat": np.int64([0, 2, 2, 36]),
    "back": np.int64([2, 4, 6, -1]),
}


def _used(transport):
    return {
        name: value
        for name, value in _VALUES.items()
        if f" {name})" in transport or f" {name}," in transport
    }


@pytest.mark.parametrize("kind", _ANY)
@pytest.mark.parametrize("shape", [_VECTOR, ()])
def test_any_map_passes(folding, kind, shape):
    transport = _ANY[kind][0].replace('""', "")
    used = _used(transport)
    if shape and kind == "mean":
        shape = (4, 1, 1)
    outcome = _behind(folding, transport, shape, shape, **used)
    assert not {"Mul", "Add"} & set(outcome.ops)
    outcome = _before(folding, transport, shape, shape, **used)
    assert not {"Mul", "Add"} & set(outcome.ops)


_COUNTED = "t = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (u)"


@pytest.mark.parametrize("transport", [_COUNTED, "t = ReduceSum(u, axes)"])
def test_sums_pass_factors_alone(folding, transport):
    used = {"axes": np.int64([2])} if "axes" in transport else {}
    outcome = _behind(folding, transport, _VECTOR, _VECTOR, **used)
    assert "Mul" not in outcome.ops
    assert "Add" in outcome.ops
    assert "passes no addition" in outcome.refused[0]
    outcome = _before(folding, transport, _VECTOR, _VECTOR, **used)
    assert "Mul" not in outcome.ops
    assert "Add" in outcome.ops


@pytest.mark.parametrize(
    "transport",
    [
        "t = MaxPool <kernel_shape = [2, 2], pads = [1, 1, 1, 1]> (u)",
        "t = GlobalMaxPool(u)",
        "t = ReduceMax <axes = [3]> (u)",
        "t = ReduceMin <axes = [3]> (u)",
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_pass_positive_factors(folding, transport, sign):
    a = np.float32([1, 2, 3, sign]).reshape(_VECTOR)
    outcome = _behind(folding, transport, a, _VECTOR)
    assert ("Mul" in outcome.ops) == (sign < 0)
    outcome = _before(folding, transport, a, _VECTOR)
    assert ("Mul" in outcome.ops) == (sign < 0)


@pytest.mark.parametrize(
    ("transport", "used"),
    [
        ("t = MaxPool <kernel_shape = [1, 2]> (u)", {}),
        ("t = ReduceMean <axes = [3]> (u)", {}),
        ("t = Resize (u, , sizes)", {"sizes": np.float32([1, 1, 1, 2])}),
        ("t = Tile(u, repeats)", {"repeats": np.int64([1, 1, 1, 2])}),
        ('t = Pad <mode = "edge"> (u, pads)', {"pads": np.int64([0, 0, 0, 1, 0, 0, 0, 1])}),
        ("t = DepthToSpace <blocksize = 2> (u)", {}),
    ],
)
def test_what_is_told_apart_must_not_meet(folding, transport, used):
    body = f"{{ h = Tanh(x) u = Mul(h, a) {transport} y = Relu(t) }}"
    outcome = folding(body, **used, a=np.float32([1, 2, 3, 4, 5, 6]))
    assert "Mul" in outcome.ops


def test_channels_through_depth_to_space(folding):
    body = "{ u = Conv(x, w, b) t = DepthToSpace <blocksize = 2> (u) y = Mul(t, a) }"
    assert folding(body, **_CONV, a=()).ops == ["Conv", "DepthToSpace"]


def test_a_cropping_resize_stays(folding):
    mode = 'coordinate_transformation_mode = "tf_crop_and_resize"'
    body = f"{{ u = Conv(x, w, b) t = Resize <{mode}> (u, roi, sizes) y = Mul(t, a) }}"
    used = {"roi": np.float32([0, 0, 0, 0, 1, 1, 2, 2]), "sizes": np.float32([1, 1, 2, 2])}
    assert "crops and pads" in folding(body, **_CONV, a=(), **used).refused[0]


def test_features_of_a_flattened_image(folding):
    body = "{ u = Conv(x, w, b) t = Flatten(u) s = Mul(t, a) y = Gemm(s, v) }"
    outcome = folding(body, "float[2,4,3,3] x", **_CONV, a=(36,), v=(36, 5))
    assert outcome.ops == ["Conv", "Flatten", "Gemm"]
    body = "{ h = Tanh(x) u = Mul(h, a) t = Flatten(u) y = Gemm(t, v) }"
    outcome = folding(body, "float[2,4,3,3] x", a=_VECTOR, v=(36, 5))
    assert outcome.ops == ["Tanh", "Flatten", "Gemm"]


def test_heads_of_attention(folding):
    body = """{ u = MatMul(x, w) r = Reshape(u, shape) t = Transpose <perm = [0, 2, 1, 3]> (r)
        y = Mul(t, a) }"""
    constants = {"w": (6, 6), "shape": np.int64([0, -1, 2, 3])}
    outcome = folding(body, "float[n,t,6] x", **constants, a=(2, 1, 1))
    assert outcome.ops == ["MatMul", "Reshape", "Transpose"]
    outcome = folding(body, "float[n,t,6] x", **constants, a=(3,))
    assert outcome.ops == ["MatMul", "Reshape", "Transpose"]


@pytest.mark.parametrize("op", ["Upsample", "Resize"])
def test_older_ways_to_resize(folding, op):
    opset = 9 if op == "Upsample" else 10
    body = f'{{ u = Conv(x, w, b) t = {op} <mode = "linear"> (u, sizes) y = Mul(t, a) }}'
    outcome = folding(body, **_CONV, a=_VECTOR, sizes=np.float32([1, 1, 2, 2]), opset=opset)
    assert outcome.ops == ["Conv", op]
    if op == "Upsample":
        body = (
            "{ u = Conv(x, w, b) t = Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (u) y = Mul(t, a) }"
        )
        assert folding(body, **_CONV, a=_VECTOR, opset=7).ops == ["Conv", op]


def test_axes_that_became_inputs(folding):
    axes = {"axes": np.int64([2, 3])}
    body = "{ u = Conv(x, w, b) t = ReduceMean <keepdims = 0> (u, axes) y = Mul(t, a) }"
    assert folding(body, **_CONV, **axes, a=(4,), opset=18).ops == ["Conv", "ReduceMean"]
    body = "{ u = Conv(x, w, b) t = ReduceMean <noop_with_empty_axes = 1> (u) y = Mul(t, a) }"
    assert folding(body, **_CONV, a=_VECTOR, opset=18).ops == ["Conv", "ReduceMean"]
    body = "{ u = Conv(x, w, b) t = ReduceMean <keepdims = 0> (u) y = Mul(t, a) }"
    assert folding(body, **_CONV, a=(), opset=18).ops == ["Conv", "ReduceMean"]
    body = "{ u = Conv(x, w, b) t = Squeeze <axes = [0]> (u) y = Mul(t, a) }"
    outcome = folding(body, "float[1,4,3,3] x", **_CONV, a=_VECTOR, opset=11)
    assert outcome.ops == ["Conv", "Squeeze"]
    body = "{ u = Conv(x, w, b) t = Squeeze(u) y = Mul(t, a) }"
    outcome = folding(body, "float[1,4,3,3] x", **_CONV, a=_VECTOR)
    assert outcome.ops == ["Conv", "Squeeze"]


def test_other_outputs_and_training(folding):
    body = "{ u = Conv(x, w, b) t, z = MaxPool <kernel_shape = [2, 2]> (u) y = Mul(t, pa) }"
    outcome = folding(body, **_CONV, pa=_VECTOR, outputs="float y, int64 z")
    assert outcome.ops == ["Conv", "MaxPool"]
    body = "{ u = Conv(x, w, b) t = Dropout(u, ratio, training) y = Mul(t, a) }"
    used = {"ratio": np.float32(0.5), "training": np.array(True)}
    outcome = folding(body, **_CONV, **used, a=(), runs=False)
    assert outcome.refused[0].startswith("'make_t' drops elements")
