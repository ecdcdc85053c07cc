"""Near misses: what is missing, in the words of the report."""

from __future__ import annotations

import numpy as np
import pytest

_X = "float[2,4,6,6] x"
_FLAT = "float[3,4] x"
_CONV = {"w": (4, 4, 1, 1)}
_CHANNELS = (4, 1, 1)
_ZERO = np.float32([1, 0, 1, 1]).reshape(_CHANNELS)
_U = "u = Conv(x, w)"

_CASES = {
    "bounds computed": (
        f"{{ {_U} t = Clip(u, low) y = Mul(t, a) }}",
        f"{_X}, float low",
        {**_CONV, "a": ()},
        "the bounds of 'make_t' (Clip) are computed",
    ),
    "clip after nothing": (
        "{ h = Tanh(x) s = Mul(h, a) t = Clip(s, low) y = Conv(t, w) }",
        _X,
        {**_CONV, "a": np.float32(0), "low": np.float32(0)},
        "'make_t' (Clip) cannot undo it",
    ),
    "choice after nothing": (
        "{ h = Tanh(x) s = Mul(h, a) t = Where(m, s, k) y = Conv(t, w) }",
        _X,
        {**_CONV, "a": _ZERO, "m": np.array(True), "k": ()},
        "a factor before 'make_t' is 0",
    ),
    "sum after nothing": (
        "{ h = Tanh(x) s = Mul(h, a) v = Conv(x, w) t = Add(s, v) y = Relu(t) }",
        _X,
        {**_CONV, "a": _ZERO},
        "a factor before 'make_t' is 0",
    ),
    "divided by nothing": (
        "{ h = Exp(x) g = Sigmoid(x) s = Mul(h, a) t = Div(g, s) y = Conv(t, w) }",
        _X,
        {**_CONV, "a": _ZERO},
        "a factor before 'make_t' is 0",
    ),
    "nothing of a quotient": (
        "{ u = Conv(x, w) h = Exp(x) t = Div(u, h) y = Mul(t, a) }",
        _X,
        {**_CONV, "a": _ZERO},
        "a factor behind 'make_t' is 0",
    ),
    "added to a denominator": (
        "{ h = Exp(x) s = Add(h, c) t = Div(k, s) y = Conv(t, w) }",
        _X,
        {**_CONV, "k": (), "c": np.float32(2)},
        "'make_t' (Div) takes no addition to its denominator",
    ),
    "rows and columns": (
        "{ t = Gemm(x, w) y = Mul(t, a) }",
        _FLAT,
        {"w": (4, 5), "a": (3, 5)},
        "the constants differ by row and column of 'make_t'",
    ),
    "rows added": (
        "{ t = Gemm(x, w) y = Add(t, c) }",
        _FLAT,
        {"w": (4, 5), "c": (3, 1)},
        "the constants differ by row of 'make_t'",
    ),
    "a bias added to": (
        "{ h = Tanh(x) s = Add(h, c) y = Gemm(z, w, s) }",
        "float[3,5] x, float[3,4] z",
        {"w": (4, 5), "c": ()},
        "it is the bias of 'make_y'",
    ),
    "a weight added to": (
        "{ h = Tanh(x) s = Add(h, c) y = Gemm(z, s) }",
        "float[4,5] x, float[3,4] z",
        {"c": ()},
        "it is the weight of 'make_y'",
    ),
    "padding computed": (
        f"{{ {_U} t = Pad(u, pads, value) s = Mul(t, a) y = Add(s, c) }}",
        f"{_X}, float value",
        {**_CONV, "pads": np.int64([0, 0, 1, 1, 0, 0, 0, 0]), "a": (), "c": ()},
        "the value of 'make_t' (Pad) is computed",
    ),
    "a part of unknown size": (
        "{ h = Tanh(x) s = Mul(h, a) t, u = Split <axis = 1> (s, sizes) y = Add(t, u) }",
        f"{_X}, int64[2] sizes",
        {"a": _CHANNELS},
        "the sizes of the parts are not known",
    ),
    "a slope scaled": (
        "{ h = Tanh(z) s = Mul(h, a) y = PRelu(x, s) }",
        f"{_X}, float[4,1,1] z",
        {"a": ()},
        "'make_y' (PRelu) takes it as a parameter",
    ),
    "another output": (
        "{ n, t = LayerNormalization(x, g) s = Mul(t, a) y = Relu(s) z = Relu(n) }",
        "float[2,3,4] x",
        {"g": (4,), "a": np.float32(2)},
        "'t' is another output of 'make_n' (LayerNormalization)",
    ),
    "too far away": (
        "{ t0 = Conv(x, w) "
        + " ".join(f"t{i + 1} = {'Relu' if i % 2 else 'Abs'}(t{i})" for i in range(30))
        + " y = Mul(t30, p) }",
        _X,
        {**_CONV, "p": ()},
        "what could take it in is too far away",
    ),
}


_DO_NOT_RUN = frozenset(["bounds computed", "padding computed", "a part of unknown size"])
"""Random inputs would be no sizes or bounds; or a division by what is near 0 is compared."""


@pytest.mark.parametrize("name", _CASES)
def test_reasons(folding, name):
    body, inputs, constants, reason = _CASES[name]
    runs = name not in _DO_NOT_RUN and "Div" not in body
    outputs = "float y, float z" if name == "another output" else "float y"
    outcome = folding(body, inputs, **constants, runs=runs, outputs=outputs)
    assert any(reason in found for found in outcome.refused)


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (
            "{ r = Reshape(x, z) t = Mul(r, a) q = Relu(t) y = Add(q, r) }",
            "float[a,b] x, int64[n] z",
        ),
        ("{ r = Reshape(x, z) t = Conv(r, w) y = Mul(t, c) }", "float[a,b] x, int64[n] z"),
        ("{ t = Conv(x, w) r = Pad(t, z) y = Mul(r, c) }", "float[a,4,b,c] x, int64[8] z"),
        ("{ t = Conv(x, w) r = Tile(t, z) y = Mul(r, c) }", "float[a,4,b,c] x, int64[4] z"),
        ("{ t = Conv(x, w) r = Transpose(t) y = Mul(r, a) }", "float[a,4,b,c] x"),
        ("{ t = MatMul(x, v) r = Squeeze(t) y = Mul(r, a) }", "float[a,b,4] x"),
        ("{ t = MatMul(x, v) r = ReduceSum(t, z) y = Mul(r, a) }", "float[a,b,4] x, int64[n] z"),
        ("{ t = MatMul(x, v) r = Expand(t, z) y = Mul(r, a) }", "float[a,b,4] x, int64[n] z"),
    ],
)
def test_little_is_known(folding, body, inputs):
    constants = {"a": (), "c": _CHANNELS, "w": (4, 4, 1, 1), "v": (4, 4)}
    used = {n: s for n, s in constants.items() if f", {n})" in body}
    outcome = folding(body, inputs, **used, runs=False)
    assert all(len(node.outputs) == 1 for node in outcome.model.nodes)
