"""Conv and ConvTranspose take in what stands before and behind them."""

from __future__ import annotations

import numpy as np
import pytest

_WEIGHTS = {
    "plain": ("Conv", {"w": (6, 4, 3, 3)}, "", 6),
    "grouped": ("Conv", {"w": (6, 2, 3, 3)}, "<group = 2>", 6),
    "depthwise": ("Conv", {"w": (8, 1, 3, 3)}, "<group = 4>", 8),
    "transposed": ("ConvTranspose", {"w": (4, 6, 3, 3)}, "<strides = [2, 2]>", 6),
    "transposed groups": ("ConvTranspose", {"w": (4, 3, 3, 3)}, "<group = 2>", 6),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", _WEIGHTS)
def test_behind(folding, kind, bias):
    op, weight, attributes, channels = _WEIGHTS[kind]
    inputs = "x, w, b" if bias else "x, w"
    constants = {**weight, "a": (channels, 1, 1), "c": (1, channels, 1, 1)}
    if bias:
        constants["b"] = (channels,)
    body = f"{{ t = {op} {attributes} ({inputs}) u = Mul(t, a) y = Add(c, u) }}"
    outcome = folding(body, **constants)
    assert outcome.ops == [op]
    assert outcome.applied == [f"folded 2 nodes into 'make_t' ({op})"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [k for k in _WEIGHTS if not k.startswith("t")])
def test_before_without_padding(folding, kind, bias):
    _, weight, attributes, channels = _WEIGHTS[kind]
    inputs = "u, w, b" if bias else "u, w"
    constants = {**weight, "a": (4, 1, 1), "c": (4, 1, 1)}
    if bias:
        constants["b"] = (channels,)
    body = f"{{ t = Mul(x, a) u = Sub(c, t) y = Conv {attributes} ({inputs}) }}"
    assert folding(body, **constants).ops == ["Conv"]


@pytest.mark.parametrize("kind", _WEIGHTS)
def test_factors_before_with_padding(folding, kind):
    op, weight, attributes, _ = _WEIGHTS[kind]
    padded = "pads = [1, 1, 1, 1]"
    attributes = f"{attributes[:-1]}, {padded}>" if attributes else f"<{padded}>"
    body = f"{{ t = Div(x, pa) y = {op} {attributes} (t, w) }}"
    assert folding(body, **weight, pa=(4, 1, 1)).ops == [op]


_PADDED = "y = Conv <pads = [1, 1, 1, 1]> (u, w)"


def test_an_addition_before_padding_stays_and_the_factor_goes(folding):
    body = f"{{ t = Mul(x, pa) u = Add(t, c) {_PADDED} }}"
    outcome = folding(body, pa=(4, 1, 1), c=(4, 1, 1), w=(3, 4, 3, 3))
    assert outcome.ops == ["Add", "Conv"]
    assert outcome.applied == [
        "folded 2 nodes into 'make_y' (Conv) after it; an Add of its addend is left"
    ]
    assert outcome.refused == [
        "nothing linear before it, but an input; "
        "'make_y' pads with zeros, which the addition would change"
    ]


@pytest.mark.parametrize("factors", [[1, 1, 0, 1], [1, 1, 1e-6, 1]])
def test_an_addition_does_not_move_over_factors_near_nothing(folding, factors):
    a = np.float32(factors).reshape(4, 1, 1)
    body = f"{{ t = Mul(x, a) u = Add(t, c) {_PADDED} }}"
    assert folding(body, a=a, c=(4, 1, 1), w=(3, 4, 3, 3)).ops == ["Mul", "Add", "Conv"]


@pytest.mark.parametrize(
    ("attributes", "kernel", "ops"),
    [
        ("", 3, ["Conv"]),
        ('<auto_pad = "VALID">', 3, ["Conv"]),
        ('<auto_pad = "SAME_UPPER">', 1, ["Conv"]),
        ('<auto_pad = "SAME_UPPER">', 3, ["Add", "Conv"]),
        ('<auto_pad = "SAME_LOWER">', 2, ["Add", "Conv"]),
        ("<pads = [0, 0, 0, 1]>", 3, ["Add", "Conv"]),
    ],
)
def test_where_nothing_is_padded(folding, attributes, kernel, ops):
    body = f"{{ u = Add(x, c) y = Conv {attributes} (u, w) }}"
    assert folding(body, c=(1,), w=(3, 4, kernel, kernel)).ops == ops


def test_no_addition_before_conv_transpose(folding):
    outcome = folding("{ u = Add(x, c) y = ConvTranspose(u, w) }", c=(), w=(4, 3, 2, 2))
    assert outcome.refused == [
        "nothing linear before it, but an input; 'make_y' (ConvTranspose) takes no addition"
    ]


def test_other_axes_than_channels_stay(folding):
    outcome = folding("{ t = Conv(x, w) y = Mul(t, a) }", w=(4, 4, 3, 3), a=(4,))
    assert outcome.refused[0].startswith("the channels of 'make_t' are not what the constants")
    outcome = folding("{ t = Mul(x, a) y = Conv(t, w) }", w=(4, 4, 3, 3), a=(6, 1))
    assert "the channels of 'make_y' are not what the constants are for" in outcome.refused[0]


def test_one_dimension_and_a_free_batch(folding):
    body = "{ t = Conv(x, w) u = Mul(t, a) y = Add(u, c) }"
    outcome = folding(body, "float[n,4,length] x", w=(5, 4, 3), a=(5, 1), c=(), runs=False)
    assert outcome.ops == ["Conv"]


def test_a_bias_apart(folding):
    outcome = folding("{ t = Conv(x, w) y = Add(t, c) }", w=(5, 4, 1, 1), c=(5, 1, 1))
    assert outcome.ops == ["Conv"]
    assert {c.name: c.shape for c in outcome.model.constants} == {
        "w": (5, 4, 1, 1),
        "make_t_bias": (5,),
    }


def test_the_weight_is_computed(folding):
    outcome = folding(
        "{ t = Conv(x, w) y = Mul(t, a) }", "float[1,2,4,4] x, float[3,2,1,1] w", a=()
    )
    assert "the weight 'w' of 'make_t' is not a constant" in outcome.refused[0]


def test_as_a_weight_it_stays(folding):
    body = "{ u = Mul(w, a) y = Conv(x, u) }"
    outcome = folding(body, "float[1,2,4,4] x, float[3,2,1,1] w", a=())
    assert "it is a parameter of 'make_y' (Conv)" in outcome.refused[0]
