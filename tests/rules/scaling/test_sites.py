"""Where factors can go, that outputs then stay equal to the last bit, and why they cannot go."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.graph import load
from onnxq.passes import apply_passes
from onnxq.rules.scaling import EqualizeLayers, SmoothActivations, find_sites

_IN = {"w": (8, 4, 3, 3), "b": (8,)}
_OUT = {"v": (5, 8, 1, 1)}
_LAST = np.int64([-1])

_FREE = {
    "relu": ("{ t = Conv(x, w, b) r = Relu(t) y = Conv(r, v) }", {**_IN, **_OUT}, 8),
    "slopes": (
        "{ t = Conv(x, w, b) r = PRelu(t, p) s = LeakyRelu(r) y = Conv(s, v) }",
        {**_IN, **_OUT, "p": (8, 1, 1)},
        8,
    ),
    "pools": (
        """{ t = Conv(x, w, b) r = MaxPool <kernel_shape = [2, 2]> (t)
            s = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (r)
            y = Conv(s, v) }""",
        {**_IN, **_OUT},
        8,
    ),
    "depthwise": (
        """{ t = Conv(x, w, b) d = Conv <group = 8> (t, k, c) r = Relu(d) y = Conv(r, v) }""",
        {**_IN, **_OUT, "k": (8, 1, 3, 3), "c": (8,)},
        16,
    ),
    "groups": (
        "{ t = Conv <group = 2> (x, w, b) y = Conv <group = 4> (t, v) }",
        {"w": (8, 2, 1, 1), "b": (8,), "v": (12, 2, 1, 1)},
        8,
    ),
    "transposed": (
        """{ t = ConvTranspose <group = 2> (x, w, b) r = Relu(t)
            y = ConvTranspose <group = 2> (r, v) }""",
        {"w": (4, 3, 2, 2), "b": (6,), "v": (6, 2, 2, 2)},
        6,
    ),
    "residual": (
        """{ t = Conv(x, w, b) u = Conv(x, z) r = Conv(t, q) s = Relu(r) a = Add(s, t)
            e = Add(a, u) y = Conv(e, v) }""",
        {**_IN, **_OUT, "z": (8, 4, 3, 3), "q": (8, 8, 1, 1)},
        8,
    ),
    "addition of constants": (
        "{ t = Conv(x, w) a = Add(t, o) s = Sub(c, a) y = Conv(s, v) }",
        {**_IN, **_OUT, "o": np.float32(0.3), "c": (1, 8, 1, 1)},
        8,
    ),
    "scaled by constants": (
        "{ t = Conv(x, w) a = Mul(t, k) s = Div(a, c) r = Relu(s) y = Conv(r, v) }",
        {**_IN, **_OUT, "k": np.float32(0.3), "c": (8, 1, 1)},
        8,
    ),
    "concat and split": (
        """{ t = Conv(x, w, b) u = Conv(x, z) j = Concat <axis = 1> (t, u)
            p, q = Split <axis = 1> (j, sizes) r = Relu(p) o = Conv(r, k) i = Conv(q, l)
            y = Add(o, i) }""",
        {
            **_IN,
            "z": (2, 4, 3, 3),
            "sizes": np.int64([3, 7]),
            "k": (5, 3, 1, 1),
            "l": (5, 7, 1, 1),
        },
        10,
    ),
    "half of it held": (
        """{ t = Conv(x, w, b) p, q = Split <axis = 1> (t, sizes) g = Sigmoid(p)
            j = Concat <axis = 1> (g, q) y = Conv(j, v) }""",
        {**_IN, **_OUT, "sizes": np.int64([3, 5])},
        5,
    ),
    "slice and pad": (
        """{ t = Conv(x, w, b) s = Slice(t, from, to, axes) d = Pad(s, pads) y = Conv(d, v) }""",
        {
            **_IN,
            "v": (5, 3, 1, 1),
            "from": np.int64([2, 1]),
            "to": np.int64([5, 2**31 - 1]),
            "axes": np.int64([1, 3]),
            "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        },
        8,
    ),
    "gate": (
        """{ t = Conv(x, w, b) m = GlobalAveragePool(x) f = Conv(m, z) g = Sigmoid(f)
            s = Mul(t, g) y = Conv(s, v) }""",
        {**_IN, **_OUT, "z": (8, 4, 1, 1)},
        8,
    ),
    "channel shuffle": (
        """{ t = Conv(x, w, b) r = Reshape(t, parts) s = Transpose <perm = [0, 2, 1, 3, 4]> (r)
            u = Reshape(s, whole) y = Conv <group = 2> (u, v) }""",
        {
            **_IN,
            "v": (6, 4, 1, 1),
            "parts": np.int64([0, 2, 4, 4, 4]),
            "whole": np.int64([0, 8, 4, 4]),
        },
        8,
    ),
    "flatten into Gemm": (
        """{ t = Conv(x, w, b) r = Relu(t) f = Flatten(r) g = Gemm <transB = 1> (f, k, c)
            s = Relu(g) y = Gemm(s, l) }""",
        {**_IN, "k": (6, 128), "c": np.float32(0.5), "l": (6, 3)},
        14,
    ),
}


@pytest.mark.parametrize("name", _FREE)
def test_factors_change_no_bit(name, small_model, scaled):
    body, constants, channels = _FREE[name]
    assert scaled(small_model(body, **constants)) == channels


_SEQUENCES = {
    "normalisation": (
        "{ t = LayerNormalization <axis = -1> (x, g, b) q = MatMul(t, w) k = MatMul(t, v)"
        " y = Add(q, k) }",
        {"g": (8,), "b": (8,), "w": (8, 6), "v": (8, 6)},
        8,
    ),
    "spelled normalisation": (
        """{ m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) t = Mul(d, g) u = Add(t, b)
            y = MatMul(u, w) }""",
        {"g": (8,), "b": (8,), "w": (8, 6)},
        8,
    ),
    "attention": (
        """{ v = MatMul(x, w) a = Add(v, b) r = Reshape(a, heads)
            s = Transpose <perm = [0, 2, 1, 3]> (r) p = Transpose <perm = [0, 1, 3, 2]> (s)
            z = MatMul(s, p) q = Softmax(z) c = MatMul(q, s)
            t = Transpose <perm = [0, 2, 1, 3]> (c) u = Reshape(t, whole) y = MatMul(u, o) }""",
        {
            "w": (8, 8),
            "b": (8,),
            "o": (8, 3),
            "heads": np.int64([0, 0, 2, 4]),
            "whole": np.int64([0, 0, 8]),
        },
        0,
    ),
    "attention with values of their own": (
        """{ v = MatMul(x, w) a = Add(v, b) r = Reshape(a, heads)
            s = Transpose <perm = [0, 2, 1, 3]> (r) k = MatMul(x, e) h = Reshape(k, heads)
            l = Transpose <perm = [0, 2, 1, 3]> (h) p = Transpose <perm = [0, 1, 3, 2]> (l)
            z = MatMul(l, p) q = Softmax(z) c = MatMul(q, s)
            t = Transpose <perm = [0, 2, 1, 3]> (c) u = Reshape(t, whole) y = MatMul(u, o) }""",
        {
            "w": (8, 8),
            "b": (8,),
            "e": (8, 8),
            "o": (8, 3),
            "heads": np.int64([0, 0, 2, 4]),
            "whole": np.int64([0, 0, 8]),
        },
        8,
    ),
}


@pytest.mark.parametrize("name", _SEQUENCES)
def test_sequences(name, small_model, scaled):
    body, constants, channels = _SEQUENCES[name]
    assert scaled(small_model(body, "float[n,5,8] x", **constants)) == channels


def test_a_mul_is_inserted_where_nothing_takes_the_factor(small_model, scaled):
    body = """{ n = LayerNormalization <axis = -1> (x, g, b) t = MatMul(n, w) e = Erf(t)
        u = MatMul(e, v) y = Add(u, n) }"""
    model = small_model(body, "float[n,5,8] x", g=(8,), b=(8,), w=(8, 6), v=(6, 8))
    assert scaled(model) == 0
    assert scaled(model, insert=True) == 14
    edited = load(model)
    factors = {"n": np.full(8, 2.0), "e": np.full(6, 0.5)}
    apply_passes(edited, [SmoothActivations(factors)])
    assert [n.op for n in edited.nodes].count("Mul") == 2
    (report,) = apply_passes(edited, [SmoothActivations(factors)])
    assert not report.applied


_HELD = {
    "make_t (Tanh) passes no factor": "{ u = Conv(x, w) t = Tanh(u) y = Conv(t, v) }",
    "'u' is returned": "{ u = Conv(x, w) y = Conv(u, v) }",
    "'x' comes from outside": "{ y = Conv(x, k) u = Relu(y) }",
    "has the bound 6, one number for all channels": "{ u = Conv(x, w) t = Clip(u, zero, six)"
    " y = Conv(t, v) }",
    "multiplies two computed tensors": "{ u = Conv(x, w) t = Mul(u, u) y = Conv(t, v) }",
    "'w' of 'make_u' is shared with others": "{ u = Conv(x, w) i = Conv(x, w) t = Relu(u)"
    " y = Conv(t, v) z = Neg(i) }",
}


@pytest.mark.parametrize("reason", _HELD)
def test_reasons(reason, small_model):
    outputs = "float y, float u" if "returned" in reason else "float y"
    outputs += ", float z" if "shared" in reason else ""
    rows = 4096 if "shared" in reason else 8
    constants = {"w": (rows, 4, 3, 3), "v": (5, rows, 1, 1), "k": (4, 4, 1, 1)}
    constants |= {"zero": np.float32(0), "six": np.float32(6)}
    model = load(small_model(_HELD[reason], outputs=outputs, **constants))
    site = find_sites(model)[-1]
    assert not site.count
    assert reason.replace("make_t (", "'make_t' (") in site.reason
    (report,) = apply_passes(model, [EqualizeLayers({site.name: np.ones(rows)})])
    assert [event.reason for event in report.refused] == [site.reason]


def test_a_clip_at_zero_alone_is_a_relu(small_model, scaled):
    body = "{ u = Conv(x, w) t = Clip(u, zero) y = Conv(t, v) }"
    assert scaled(small_model(body, **_OUT, w=(8, 4, 3, 3), zero=np.float32(0))) == 8


def test_a_weight_that_callers_may_replace_holds_the_factor(small_model):
    body = "{ u = Conv(x, w) y = Conv(u, v) }"
    proto = small_model(body, "float[n,4,6,6] x, float[8,4,3,3] w", **_OUT, w=(8, 4, 3, 3))
    (*_, site) = find_sites(load(proto))
    assert (site.count, "weight of 'make_u'" in site.reason) == (0, True)


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        (np.ones(3), "there are factors of shape (3,) for 8 channels"),
        (np.zeros(8), "a factor is not a positive number"),
        (np.full(8, 1e-300), "a constant would leave the range of float32"),
    ],
)
def test_factors_that_do_not_fit(factors, reason, small_model):
    body, constants, _ = _FREE["relu"]
    model = load(small_model(body, **constants))
    (report,) = apply_passes(model, [EqualizeLayers({"r": factors, "x": np.ones(4)})])
    assert [event.reason for event in report.refused] == [reason, "'x' comes from outside"]
