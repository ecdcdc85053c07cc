"""Weights before and after each channel come out equally large."""

from __future__ import annotations

import numpy as np

from onnxq.graph import load, read
from onnxq.passes import apply_passes
from onnxq.rules.scaling import EqualizeLayers, balance_weights, find_sites

_BODY = """{ t = Conv(x, w, b) r = Relu(t) d = Conv <group = 8> (r, k, c) s = Relu(d)
    y = Conv(s, v) }"""


def test_ranges_meet(small_model):
    random = np.random.default_rng(0)
    sizes = np.float32(10.0 ** random.uniform(-1.5, 1.5, (3, 8)))
    shapes = {"w": (8, 4, 3, 3), "k": (8, 1, 3, 3), "v": (5, 8, 1, 1)}
    w, k, v = (random.standard_normal(s).astype(np.float32) for s in shapes.values())
    w, k = w * sizes[0].reshape(8, 1, 1, 1), k * sizes[1].reshape(8, 1, 1, 1)
    v = v * sizes[2].reshape(1, 8, 1, 1)
    w[2] = 0.0
    model = load(small_model(_BODY, w=w, b=(8,), k=k, c=(8,), v=v))
    factors = balance_weights(find_sites(model), power_of_two=False)
    assert factors.keys() == {"r", "s"}
    assert factors["r"][2] == 1.0
    assert all(f.min() >= 1e-3 and f.max() <= 1e3 for f in factors.values())
    (report,) = apply_passes(model, [EqualizeLayers(factors)])
    assert len(report.applied) == 2
    first, middle, last = (np.abs(read(n.inputs[1])) for n in model.nodes if n.op == "Conv")
    alive = np.arange(8) != 2
    np.testing.assert_allclose(first.max((1, 2, 3))[alive], middle.max((1, 2, 3))[alive], rtol=0.01)
    np.testing.assert_allclose(middle.max((1, 2, 3)), last.max((0, 2, 3)), rtol=0.01)
    again = balance_weights(find_sites(model), power_of_two=False)
    assert all(np.abs(np.log(f)).max() < 0.01 for f in again.values())


def test_powers_of_two_by_default(small_model):
    model = load(small_model(_BODY, w=(8, 4, 3, 3), b=(8,), k=(8, 1, 3, 3), c=(8,), v=(5, 8, 1, 1)))
    for factors in balance_weights(find_sites(model)).values():
        assert (np.frexp(factors)[0] == 0.5).all()


def test_nothing_to_balance(small_model):
    model = load(small_model("{ t = Tanh(x) y = Conv(t, v) }", v=(5, 4, 1, 1)))
    assert balance_weights(find_sites(model)) == {}
