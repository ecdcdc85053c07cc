"""A walk gives what one run of the whole model gives, and runs every node once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import onnxq.calibration.walking as walking
from onnxq.calibration.walking import Walk
from onnxq.engine import Optimization, open_session, runner
from onnxq.graph import copy_model, load

BODY = """
    [c1] a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1) [r] b = Relu(a)
    [q] q = QuantizeLinear(b, s, z) [d1] c = DequantizeLinear(q, s, z)
    [c2] e = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(c, w2) [add] f = Add(e, c)
    [if] g = If(t) <then_branch = yes () => (h) { h = Mul(f, f) },
                    else_branch = no () => (i) { i = Neg(f) }>
    [pool] y = GlobalAveragePool(g)
"""


@pytest.fixture
def model():
    generator = np.random.default_rng(0)
    proto = parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,4,6,w] x, bool t)'
        f" => (float[n,4,1,1] y) {{ {BODY} }}"
    )
    weights = {
        "w1": generator.standard_normal((4, 4, 3, 3)).astype(np.float32) / 6,
        "w2": generator.standard_normal((4, 4, 3, 3)).astype(np.float32) / 6,
        "s": np.float32(0.02),
        "z": np.uint8(0),
    }
    for name, value in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return load(proto)


@pytest.fixture
def feeds():
    generator = np.random.default_rng(1)
    return [
        {
            "x": generator.standard_normal((1, 4, 6, 5 + i)).astype(np.float32),
            "t": np.array(i % 2 == 0),
        }
        for i in range(3)
    ]


def expected(model, feeds, name):
    twin = copy_model(model)
    twin.graph.outputs = [twin.variables[name]]
    run = runner(open_session(twin, optimization=Optimization.NONE))
    return [run(feed)[name] for feed in feeds]


def fetched(walk, variable):
    return [value for [value] in walk.fetch([variable])]


@pytest.fixture
def ran(monkeypatch):
    """The nodes of every piece that was opened."""
    pieces = []
    original = walking.extract

    def spying(model, nodes, outputs):
        pieces.append([node.name for node in nodes])
        return original(model, nodes, outputs)

    monkeypatch.setattr(walking, "extract", spying)
    return pieces


def test_values_are_those_of_the_whole_model(model, feeds):
    walk = Walk(model, feeds)
    for name in ("x", "a", "c", "e", "f", "g", "y"):
        for got, wanted in zip(
            fetched(walk, model.variables[name]), expected(model, feeds, name), strict=True
        ):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert walk.bytes_per_sample == 0


def test_every_node_runs_once_but_dequantization(model, feeds, ran):
    walk = Walk(model, feeds)
    for name in ("c", "e", "y"):
        fetched(walk, model.variables[name])
    assert ran == [["c1", "r", "q", "d1"], ["d1", "c2"], ["d1", "add", "if", "pool"]]


def test_codes_wait_and_not_floats(model, feeds):
    walk = Walk(model, feeds)
    fetched(walk, model.variables["c"])
    elements = feeds[0]["x"].size
    assert walk.bytes_per_sample == elements + feeds[0]["t"].nbytes


def test_a_peek_leaves_the_walk_where_it_is(model, feeds, ran):
    walk = Walk(model, feeds)
    fetched(walk, model.variables["c"])
    peeked = list(walk.peek(model.variables["e"]))
    for got, wanted in zip(peeked, fetched(walk, model.variables["e"]), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert ran[1] == ran[2] == ["d1", "c2"]


def test_fewer_samples_may_go_on(model, feeds):
    walk = Walk(model, feeds)
    fetched(walk, model.variables["c"])
    walk.keep(2)
    assert walk.samples == 2
    assert len(fetched(walk, model.variables["y"])) == 2
