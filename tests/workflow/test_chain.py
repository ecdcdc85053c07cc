"""A model in parts computes what the model computes, from any part on."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.engine import open_session, runner
from onnxq.graph import load
from onnxq.workflow.chain import Chain

_LAYERS = 40


@pytest.fixture(scope="module")
def deep(model_of):
    """Residual blocks of three nodes, a second output in the middle, and an If that captures."""
    block = "m{0} = MatMul(a{0}, w{1}) t{0} = Tanh(m{0}) a{2} = Add(t{0}, a{0})"
    rows = ["a0 = Relu(x)", *(block.format(k, k % 2, k + 1) for k in range(_LAYERS))]
    rows.append(f"middle = Neg(a{_LAYERS // 2})")
    rows.append(
        f"y = If(flag) <then_branch = g1 () => (float[2,8] p) {{ p = Add(a{_LAYERS}, a3) }}, "
        f"else_branch = g2 () => (float[2,8] q) {{ q = Neg(a{_LAYERS}) }}>"
    )
    return load(
        model_of(
            "float[2,8] x, bool flag",
            "float[2,8] y, float[2,8] middle",
            "\n".join(rows),
            {"w0": (8, 8), "w1": (8, 8)},
        )
    )


@pytest.fixture(scope="module")
def feed():
    x = np.random.default_rng(2).standard_normal((2, 8)).astype(np.float32)
    return {"x": x, "flag": np.array(True)}


def _equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


def test_every_part_on_its_own(deep, feed):
    chain = Chain(deep, 5)
    assert chain.parts == 5
    expected = runner(open_session(deep))(feed)
    states = chain.states(feed)
    assert len(states) == 6
    for start, state in enumerate(states):
        _equal(chain.finish(state, start), expected)


def test_few_tensors_cross(deep, feed):
    # One of the chain, one that the If captures, the flag, and what was returned before.
    states = Chain(deep, 5).states(feed)
    assert all(len(state) <= 4 for state in states[1:])


def test_what_changes_late_needs_the_end_alone(deep, feed):
    chain = Chain(deep, 5)
    assert chain.first_reader("x") == 0
    assert chain.first_reader("flag") == 4
    assert chain.first_reader("nobody") == 5
    other = {**feed, "flag": np.array(False)}
    expected = runner(open_session(deep))(other)
    late = {**chain.states(feed)[4], "flag": other["flag"]}
    _equal(chain.finish(late, 4), expected)


def test_small_models_stay_whole(network, samples):
    chain = Chain(load(network), 4)
    assert chain.parts == 1
    _equal(chain.finish(samples[0], 0), runner(open_session(load(network)))(samples[0]))


def test_no_cut_where_a_sequence_crosses(model_of):
    rows = ["s = SequenceConstruct(x, x)", "a0 = Relu(x)"]
    rows += [f"a{k + 1} = Tanh(a{k})" for k in range(100)]
    rows += ["b = ConcatFromSequence <axis = 0> (s)", "y = Concat <axis = 0> (a100, b)"]
    model = load(model_of("float[2,3] x", "float[6,3] y", "\n".join(rows)))
    feed = {"x": np.ones((2, 3), np.float32)}
    chain = Chain(model, 4)
    assert chain.parts == 1
    _equal(chain.finish(feed, 0), runner(open_session(model))(feed))


def test_outputs_that_no_node_computes(model_of):
    rows = ["a0 = Relu(x)", *(f"a{k + 1} = Tanh(a{k})" for k in range(100)), "y = Neg(a100)"]
    model = load(model_of("float[2,3] x", "float[2,3] y", "\n".join(rows)))
    model.graph.outputs = [*model.outputs, model.inputs[0]]
    feed = {"x": np.ones((2, 3), np.float32)}
    chain = Chain(model, 4)
    assert chain.parts == 4
    np.testing.assert_array_equal(chain.finish(chain.states(feed)[2], 2)["x"], feed["x"])
