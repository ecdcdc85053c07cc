"""Normalisations take in what stands behind them; BatchNormalization what stands before it."""

from __future__ import annotations

import numpy as np
import pytest

_STATISTICS = {"g": (4,), "e": (4,), "m": (4,), "pv": (4,)}
_NORM = "BatchNormalization <epsilon = 0.001>"
_CHANNELS = (4, 1, 1)
_Y = "float[2,4,6,6] y"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalization(folding, bias, axis):
    shape = (5,) if axis == -1 else (4, 5)
    inputs = "x, g, e" if bias else "x, g"
    body = f"{{ t = LayerNormalization <axis = {axis}> ({inputs}) s = Mul(t, a) y = Add(s, c) }}"
    constants = {"g": shape, "a": shape, "c": (5,)}
    if bias:
        constants["e"] = shape
    assert folding(body, "float[3,4,5] x", **constants).ops == ["LayerNormalization"]


def test_layer_normalization_of_other_axes(folding):
    body = "{ t = LayerNormalization(x, g, e) y = Mul(t, a) }"
    outcome = folding(body, "float[3,4,5] x", g=(5,), e=(5,), a=(4, 1))
    assert "the channels of 'make_t' are not what the constants are for" in outcome.refused[0]


def test_instance_normalization(folding):
    body = "{ t = InstanceNormalization(x, g, e) s = Mul(t, a) y = Add(s, c) }"
    outcome = folding(body, g=(4,), e=(4,), a=_CHANNELS, c=_CHANNELS)
    assert outcome.ops == ["InstanceNormalization"]


def test_group_normalization(folding):
    body = "{ t = GroupNormalization <num_groups = 2> (x, g, e) y = Mul(t, a) }"
    outcome = folding(body, g=(4,), e=(4,), a=_CHANNELS, opset=21, outputs=_Y)
    assert outcome.ops == ["GroupNormalization"]


def test_batch_normalization_takes_what_stands_around_it(folding):
    body = f"""{{ h = Tanh(x) s = Mul(h, a) r = Reshape(s, same) t = {_NORM} (r, g, e, m, pv)
        y = Relu(t) }}"""
    same = {"same": np.int64([0, 0, 36])}
    outcome = folding(body, **_STATISTICS, **same, a=_CHANNELS)
    assert outcome.ops == ["Tanh", "Reshape", "BatchNormalization", "Relu"]
    body = f"{{ t = {_NORM} (x, g, e, m, pv) r = Reshape(t, same) y = Sub(c, r) }}"
    outcome = folding(body, **_STATISTICS, **same, c=(4, 1))
    assert outcome.ops == ["BatchNormalization", "Reshape"]


def test_a_gain_that_varies(folding):
    body = "{ t = LayerNormalization(x, g) y = Mul(t, a) }"
    outcome = folding(body, "float[3,4,5] x, float[5] g", a=())
    assert "the scale 'g' of 'make_t' is not a constant" in outcome.refused[0]


def test_other_outputs(folding):
    body = "{ t, z = LayerNormalization(x, g) y = Mul(t, a) r = Mul(z, a) q = Relu(r) }"
    outcome = folding(body, "float[3,4,5] x", g=(5,), a=(), outputs="float y, float q")
    assert outcome.ops == ["LayerNormalization", "Mul", "Relu"]
