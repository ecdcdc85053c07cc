"""Mul, Div, Neg, Add, Sub, Sum, Max, Min, Where, Clip and HardSigmoid around a map."""

from __future__ import annotations

import numpy as np
import pytest

_CONV = {"w": (4, 4, 1, 1), "b": (4,)}
_TWO = {**_CONV, "v": (4, 4, 1, 1)}
_U = "u = Conv(x, w, b)"
_UV = "u = Conv(x, w, b) v1 = Conv(x, v)"
_CHANNELS = (4, 1, 1)


@pytest.mark.parametrize("op", ["Add", "Sub", "Sum"])
@pytest.mark.parametrize("swapped", [True, False])
def test_residual_branches_take_the_factor_each(folding, op, swapped):
    operands = "v1, u" if swapped else "u, v1"
    body = f"{{ {_UV} t = {op}({operands}) s = Mul(t, a) y = Add(s, c) }}"
    outcome = folding(body, **_TWO, a=_CHANNELS, c=_CHANNELS)
    assert outcome.ops == ["Conv", "Conv", op]
    assert outcome.applied[0].startswith("folded 2 nodes into")


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("swapped", [True, False])
def test_one_side_of_a_gate_takes_the_factor(folding, op, swapped):
    operands = "u, g" if swapped else "g, u"
    body = f"{{ {_U} h = Sigmoid(x) g = Exp(h) t = {op}({operands}) y = Mul(t, pa) }}"
    # What is divided by a convolution comes out near 0 here and there.
    outcome = folding(body, **_CONV, pa=_CHANNELS, runs=op == "Mul" or swapped)
    assert outcome.ops == ["Conv", "Sigmoid", "Exp", op]


def test_a_gate_takes_no_addition(folding):
    body = f"{{ {_U} g = Sigmoid(x) t = Mul(u, g) y = Add(t, c) }}"
    assert folding(body, **_CONV, c=()).refused == [
        "'make_t' (Mul) takes no addition; 'y' is also read outside the graph"
    ]


def test_what_others_read_stays(folding):
    body = f"{{ {_UV} t = Add(u, v1) y = Mul(t, a) z = Relu(u) }}"
    outcome = folding(body, **_TWO, a=(), outputs="float y, float z")
    assert outcome.refused[0].startswith("the output 'u' of 'make_u' is also read elsewhere")
    assert len(outcome.ops) == 5


def test_a_smaller_operand(folding):
    body = "{ u = Conv(x, w, b) t = Add(u, k) y = Mul(t, a) }"
    assert folding(body, **_CONV, k=(), a=_CHANNELS).ops == ["Conv"]
    body = "{ u = ReduceMean <axes = [1]> (x) v = Conv(x, w, b) t = Mul(u, v) y = Mul(t, a) }"
    assert folding(body, **_CONV, a=_CHANNELS).ops == ["ReduceMean", "Conv", "Mul"]
    body = "{ u = Conv(x, w) v = Sigmoid(x) t = Mul(u, v) y = Mul(t, a) }"
    outcome = folding(body, w=(1, 4, 1, 1), a=_CHANNELS)
    assert "'u' has fewer elements than the constants tell apart" in outcome.refused[0]


@pytest.mark.parametrize("factor", [0.5, -0.5])
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_choices_take_positive_factors(folding, op, factor):
    body = f"{{ {_UV} t = {op}(u, v1, k) s = Mul(t, a) y = Add(s, c) }}"
    outcome = folding(body, **_TWO, k=(), a=np.float32(factor), c=_CHANNELS)
    if factor > 0:
        assert outcome.ops == ["Conv", "Conv", op]
    else:
        assert outcome.ops == ["Conv", "Conv", op, "Mul"]


def test_where_takes_any(folding):
    body = "{ u = Conv(x, w, b) t = Where(m, u, k) s = Mul(t, a) y = Sub(s, c) }"
    mask = np.array([True, False, True, False]).reshape(_CHANNELS)
    outcome = folding(body, **_CONV, m=mask, k=(), a=_CHANNELS, c=())
    assert outcome.ops == ["Conv", "Where"]


def test_infinite_masks_stay_infinite(folding):
    body = "{ u = MatMul(x, w) t = Where(m, u, k) s = Mul(t, a) y = Softmax(s) }"
    mask = np.array([True, False, True])
    minus = np.float32(-np.inf)
    inputs = "float[2,3,4] x"
    outcome = folding(body, inputs, w=(4, 3), m=mask, k=minus, a=np.float32(0.5))
    assert outcome.ops == ["MatMul", "Where", "Softmax"]
    outcome = folding(body, inputs, w=(4, 3), m=mask, k=np.float32(3e38), a=np.float32(20.0))
    assert "Mul" in outcome.ops
    assert "a constant would leave the range of float32" in outcome.refused[0]


@pytest.mark.parametrize("op", ["Add", "Sub", "Max", "Min"])
@pytest.mark.parametrize("place", [0, 1])
def test_before_a_sum_or_choice_the_other_side_undoes_it(folding, op, place):
    operands = ["s", "v1"] if place == 0 else ["v1", "s"]
    body = f"""{{ h = Sigmoid(x) r = Mul(h, pa) s = Add(r, c) v1 = Conv(x, v)
        t = {op}({", ".join(operands)}) y = Conv(t, w, b) }}"""
    outcome = folding(body, **_TWO, pa=_CHANNELS, c=_CHANNELS)
    assert sorted(outcome.ops) == sorted(["Sigmoid", "Conv", op, "Conv"])


def test_before_a_product_it_goes_on(folding):
    body = "{ h = Sigmoid(x) s = Mul(h, a) g = Tanh(x) t = Mul(s, g) y = Conv(t, w, b) }"
    assert folding(body, **_CONV, a=_CHANNELS).ops == ["Sigmoid", "Tanh", "Mul", "Conv"]
    body = "{ h = Sigmoid(x) s = Mul(h, pa) g = Exp(x) t = Div(g, s) y = Conv(t, w, b) }"
    assert folding(body, **_CONV, pa=_CHANNELS, atol=1e-4).ops == ["Sigmoid", "Exp", "Div", "Conv"]


def test_read_twice_by_one_node(folding):
    body = "{ s = Mul(x, a) t = Mul(s, s) y = Conv(t, w, b) }"
    assert "'make_t' (Mul) behind it is not linear" in folding(body, **_CONV, a=()).refused[0]


def test_signs(folding):
    body = f"{{ {_U} t = Neg(u) s = Sub(c, t) y = Neg(s) }}"
    assert folding(body, **_CONV, c=_CHANNELS).ops == ["Conv"]
    body = "{ h = Sigmoid(x) s = Neg(h) t = Conv(s, w, b) y = Relu(t) }"
    assert folding(body, **_CONV).ops == ["Sigmoid", "Conv", "Relu"]


@pytest.mark.parametrize("factor", [2.0, -2.0])
@pytest.mark.parametrize("bounds", ["(u, low, high)", '(u, "", high)', "(u, low)"])
@pytest.mark.parametrize("opset", [11, 17])
def test_clip_behind(folding, factor, bounds, opset):
    body = f"{{ {_U} t = Clip {bounds} s = Mul(t, a) y = Add(s, c) }}".replace('""', "")
    constants = {"low": np.float32(-0.5), "high": np.float32(0.75)}
    outcome = folding(
        body, **_CONV, **constants, a=np.float32(factor), c=np.float32(0.25), opset=opset
    )
    assert outcome.ops == ["Conv", "Clip"]


def test_clip_of_attributes(folding):
    body = f"{{ {_U} t = Clip <min = -0.5, max = 0.75> (u) y = Mul(t, a) }}"
    outcome = folding(body, **_CONV, a=np.float32(-2.0), opset=9)
    assert outcome.model.nodes[1].attrs == {"min": -1.5, "max": 1.0}
    body = f"{{ {_U} t = Clip <min = 0.0> (u) y = Mul(t, a) }}"
    outcome = folding(body, **_CONV, a=np.float32(-2.0), opset=9)
    assert outcome.model.nodes[1].attrs == {"max": 0.0}


def test_clip_keeps_maps_of_channels_out(folding):
    body = f"{{ {_U} t = Clip(u, low, high) y = Mul(t, a) }}"
    outcome = folding(body, **_CONV, low=np.float32(0), high=np.float32(6), a=_CHANNELS)
    assert "the bounds of 'make_t' (Clip) are the same for all channels" in outcome.refused[0]


@pytest.mark.parametrize("factor", [2.0, -2.0])
def test_clip_before(folding, factor):
    body = "{ h = Sigmoid(x) s = Mul(h, a) r = Add(s, c) t = Clip(r, low, high) y = Conv(t, w, b) }"
    constants = {"low": np.float32(-1), "high": np.float32(1), "c": np.float32(0.3)}
    outcome = folding(body, **_CONV, **constants, a=np.float32(factor))
    assert outcome.ops == ["Sigmoid", "Clip", "Conv"]


def test_hard_sigmoid_takes_all_of_it(folding):
    body = "{ h = Tanh(x) s = Mul(h, a) r = Sub(c, s) y = HardSigmoid(r) }"
    assert folding(body, a=(), c=()).ops == ["Tanh", "HardSigmoid"]
    assert folding(body, a=_CHANNELS, c=()).ops == ["Tanh", "Mul", "HardSigmoid"]


def test_the_gate_of_a_hard_swish_stays(folding):
    body = "{ h = Tanh(x) s = Mul(h, a) g = HardSigmoid(s) t = Mul(s, g) y = Conv(t, w, b) }"
    outcome = folding(body, **_CONV, a=())
    assert "'make_g' is part of a HardSwish" in outcome.refused[0]


@pytest.mark.parametrize("op", ["Relu", "LeakyRelu", "Abs", "PRelu"])
@pytest.mark.parametrize("factor", [0.5, -0.5])
def test_homogeneous_functions(folding, op, factor):
    extra = ", slope" if op == "PRelu" else ""
    constants = {"slope": _CHANNELS} if op == "PRelu" else {}
    a = np.float32([factor, 1, 2, 3]).reshape(_CHANNELS)
    body = f"{{ {_U} t = {op}(u{extra}) y = Mul(t, a) }}"
    outcome = folding(body, **_CONV, **constants, a=a)
    assert ("Mul" in outcome.ops) == (factor < 0)
    if factor < 0:
        assert f"'make_t' ({op}) passes no negative factor" in outcome.refused[0]
    body = f"{{ h = Tanh(x) s = Mul(h, a) t = {op}(s{extra}) y = Conv(t, w, b) }}"
    assert ("Mul" in folding(body, **_CONV, **constants, a=a).ops) == (factor < 0)
