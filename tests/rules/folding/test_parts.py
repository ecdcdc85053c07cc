"""Concat, Split, Slice, Gather and Pad around a map."""

from __future__ import annotations

import numpy as np
import pytest

_CONV = {"w": (4, 4, 1, 1), "b": (4,)}
_TWO = {**_CONV, "v": (2, 4, 1, 1)}
_CHANNELS = (4, 1, 1)
_HALVES = {"halves": np.int64([3, 1])}


def test_concat_behind_gives_each_part_its_piece(folding):
    body = """{ u = Conv(x, w, b) r = Conv(x, v) t = Concat <axis = -3> (u, k, r)
        s = Mul(t, a) y = Add(s, c) }"""
    outcome = folding(body, **_TWO, k=(2, 3, 6, 6), a=(9, 1, 1), c=(9, 1, 1))
    assert outcome.ops == ["Conv", "Conv", "Concat"]


def test_concat_along_another_axis(folding):
    body = "{ u = Conv(x, w, b) r = Conv(x, v) t = Concat <axis = 2> (u, r) y = Mul(t, a) }"
    outcome = folding(body, w=(4, 4, 1, 1), b=(4,), v=(4, 4, 2, 1), a=_CHANNELS)
    assert outcome.ops == ["Conv", "Conv", "Concat"]


def test_concat_needs_all_parts(folding):
    body = "{ u = Conv(x, w, b) r = Tanh(x) t = Concat <axis = 1> (u, r) y = Mul(t, a) }"
    assert folding(body, **_CONV, a=()).refused == [
        "nothing linear before it, but Tanh; 'y' is also read outside the graph"
    ]


def test_concat_before_leaves_the_other_parts_alone(folding):
    body = """{ h = Tanh(x) s = Mul(h, a) r = Add(s, c) t = Concat <axis = 1> (x, r, h)
        y = Conv(t, v) }"""
    outcome = folding(body, a=_CHANNELS, c=(), v=(3, 12, 1, 1))
    assert outcome.ops == ["Tanh", "Concat", "Conv"]


def test_concat_of_free_sizes(folding):
    body = "{ h = Tanh(x) s = Mul(h, a) t = Concat <axis = 1> (s, h) y = MatMul(t, v) }"
    outcome = folding(body, "float[2,n,4] x", a=(), v=(4, 3), runs=False)
    assert "the sizes of the parts are not known" in outcome.refused[0]
    body = "{ u = MatMul(x, v) s = MatMul(x, v) t = Concat <axis = 1> (s, u) y = Mul(t, a) }"
    outcome = folding(body, "float[2,n,4] x", a=(3,), v=(4, 3), runs=False)
    assert outcome.ops == ["MatMul", "MatMul", "Concat"]


def test_split_before_gives_each_output_its_piece(folding):
    body = """{ h = Tanh(x) s = Mul(h, a) t, u = Split <axis = 1> (s, halves) y = Conv(t, w)
        z = Conv(u, v) }"""
    constants = {"w": (2, 3, 1, 1), "v": (2, 1, 1, 1), **_HALVES, "a": _CHANNELS}
    outcome = folding(body, **constants, outputs="float y, float z")
    assert outcome.ops == ["Tanh", "Split", "Conv", "Conv"]
    body = body.replace("z = Conv(u, v)", "z = Exp(u)")
    outcome = folding(body, **constants, outputs="float y, float z")
    assert "'make_z' (Exp) behind it is not linear" in outcome.refused[0]


def test_split_behind_leaves_the_other_outputs_alone(folding):
    body = """{ u = Conv(x, w, b) t, z = Split <axis = 1> (u, halves) s = Mul(t, a)
        y = Add(s, c) }"""
    constants = {**_CONV, **_HALVES, "a": (3, 1, 1), "c": ()}
    outcome = folding(body, **constants, outputs="float y, float z")
    assert outcome.ops == ["Conv", "Split"]


def test_both_outputs_of_a_split_at_once(folding):
    body = """{ u = Conv(x, w, b) t, r = Split <axis = 1> (u, halves)
        s = Concat <axis = 1> (r, t) y = Mul(s, a) }"""
    outcome = folding(body, **_CONV, **_HALVES, a=_CHANNELS)
    assert outcome.ops == ["Conv", "Split", "Concat", "Mul"]
    assert "'make_u' would change in two ways at once" in outcome.refused[0]


@pytest.mark.parametrize("opset", [9, 17])
def test_slices(folding, opset):
    if opset == 9:
        cut, used = "t = Slice <axes = [1], starts = [1], ends = [4]> (u)", {}
    else:
        cut, used = "t = Slice(u, one, four, one)", {"one": np.int64([1]), "four": np.int64([4])}
    body = f"{{ h = Tanh(x) u = Mul(h, a) {cut} y = Conv(t, v) }}"
    outcome = folding(body, v=(2, 3, 1, 1), **used, a=_CHANNELS, opset=opset)
    assert outcome.ops == ["Tanh", "Slice", "Conv"]
    body = f"{{ u = Conv(x, w, b) {cut} y = Mul(t, a) }}"
    outcome = folding(body, **_CONV, **used, a=(3, 1, 1), opset=opset)
    assert outcome.ops == ["Conv", "Slice"]


def test_a_reversing_slice(folding):
    used = {"last": np.int64([-1]), "first": np.int64([-100]), "axis": np.int64([1])}
    cut = "t = Slice(u, last, first, axis, last)"
    body = f"{{ h = Tanh(x) u = Mul(h, a) {cut} y = Conv(t, w) }}"
    assert folding(body, w=(4, 4, 1, 1), **used, a=_CHANNELS).ops == ["Tanh", "Slice", "Conv"]
    body = f"{{ u = Conv(x, w, b) {cut} y = Mul(t, a) }}"
    assert folding(body, **_CONV, **used, a=_CHANNELS).ops == ["Conv", "Slice"]


def test_slices_that_overlap(folding):
    body = """{ u = Conv(x, w, b) t = Slice(u, zero, two, axis) z = Slice(u, one, three, axis)
        y = Mul(t, a) }"""
    used = {n: np.int64([i]) for i, n in enumerate(("zero", "one", "two", "three"))}
    used["axis"] = np.int64([1])
    outcome = folding(body, **_CONV, **used, a=(2, 1, 1), outputs="float y, float z")
    assert outcome.refused[0].startswith("'u' is also read elsewhere")
    used["one"] = np.int64([2])
    outcome = folding(body, **_CONV, **used, a=(2, 1, 1), outputs="float y, float z")
    assert outcome.ops == ["Conv", "Slice", "Slice"]


def test_computed_slices(folding):
    body = "{ h = Tanh(x) u = Mul(h, a) t = Slice(u, first, last, axis) y = Conv(t, v) }"
    inputs = "float[2,4,6,6] x, int64[1] first, int64[1] last"
    axis = {"axis": np.int64([1])}
    outcome = folding(body, inputs, v=(2, 3, 1, 1), **axis, a=_CHANNELS, runs=False)
    assert "what 'make_t' (Slice) picks is computed" in outcome.refused[0]
    outcome = folding(body, inputs, v=(2, 3, 1, 1), **axis, a=(), runs=False)
    assert outcome.ops == ["Tanh", "Slice", "Conv"]


def test_a_table_of_embeddings(folding):
    body = "{ t = Gather(table, x) s = Mul(t, a) y = Add(s, c) }"
    outcome = folding(body, "int64[2,3] x", table=(7, 4), a=(4,), c=(4,))
    assert outcome.ops == ["Gather"]
    outcome = folding(body, "int64[2,3] x", table=(7, 4), a=(3, 1), c=())
    assert outcome.ops == ["Gather", "Mul", "Add"]


def test_a_gathered_channel(folding):
    used = {"index": np.int64(-1)}
    body = "{ u = Conv(x, w, b) t = Gather <axis = 1> (u, index) y = Mul(t, a) }"
    assert folding(body, **_CONV, **used, a=()).ops == ["Conv", "Gather"]
    body = """{ h = Tanh(x) u = Mul(h, a) t = Gather <axis = 1> (u, indices) y = Conv(t, v) }"""
    used = {"indices": np.int64([3, 0, 3])}
    outcome = folding(body, **used, v=(2, 3, 1, 1), a=_CHANNELS)
    assert outcome.ops == ["Tanh", "Gather", "Conv"]


_PADS = {"pads": np.int64([0, 0, 1, 0, 0, 0, 0, 2])}


@pytest.mark.parametrize("value", [None, 0.5])
def test_padding_takes_a_uniform_map(folding, value):
    given = "" if value is None else ", value"
    used = _PADS if value is None else {**_PADS, "value": np.float32(value)}
    body = f"{{ u = Conv(x, w, b) t = Pad(u, pads{given}) s = Mul(t, a) y = Add(s, c) }}"
    outcome = folding(body, **_CONV, **used, a=np.float32(2), c=np.float32(0.75))
    assert outcome.ops == ["Conv", "Pad"]
    body = f"{{ h = Tanh(x) s = Mul(h, a) u = Add(s, c) t = Pad(u, pads{given}) y = Conv(t, w) }}"
    outcome = folding(body, w=(4, 4, 1, 1), **used, a=np.float32(2), c=np.float32(0.75))
    assert outcome.ops == ["Tanh", "Pad", "Conv"]


def test_padding_with_zeros_takes_factors_of_channels(folding):
    body = "{ u = Conv(x, w, b) t = Pad(u, pads) s = Mul(t, a) y = Add(s, c) }"
    outcome = folding(body, **_CONV, **_PADS, a=_CHANNELS, c=_CHANNELS)
    assert outcome.ops == ["Conv", "Pad", "Add"]
    assert "'make_t' (Pad) has one value for all channels" in outcome.refused[0]


def test_padded_axes_keep_their_maps(folding):
    body = "{ h = Tanh(x) u = Mul(h, a) t = Pad(u, pads) y = Relu(t) }"
    outcome = folding(body, **_PADS, a=(6,))
    assert "'make_t' (Pad) pads what the constants tell apart" in outcome.refused[0]


def test_padding_of_attributes(folding):
    body = """{ u = Conv(x, w, b) t = Pad <pads = [0, 0, 1, 0, 0, 0, 0, 0], value = 1.0> (u)
        s = Mul(t, a) y = Add(s, c) }"""
    outcome = folding(body, **_CONV, a=np.float32(2), c=np.float32(0.5), opset=10)
    assert outcome.ops == ["Conv", "Pad"]
    assert outcome.model.nodes[1].attrs["value"] == 2.5
