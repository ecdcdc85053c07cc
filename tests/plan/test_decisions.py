"""Plans as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onnxq.errors import DataError
from onnxq.plan import Plan
from onnxq.targets import target_names

BODY = (
    "[g] e = Gather(t, i) [n] h = Tanh(e) [m] a = MatMul(h, w) [b] d = Add(a, k) [r] f = Relu(d)"
    "[s] p = Reshape(f, shape) [m2] y = MatMul(p, w2)"
)


@pytest.fixture
def proto(model_of):
    """A model whose plan has every kind of decision and operand."""
    weights = {"t": (16, 8), "w": (8, 12), "k": (12,), "w2": (12, 8), "shape": np.array([10, 12])}
    return model_of("int64[2,5] i", "float[10,8] y", BODY, weights)


@pytest.mark.parametrize("target", target_names())
@pytest.mark.parametrize(
    "weights", [{}, {"granularity": "tensor", "bits": 4}, {"granularity": {"block": 16}}]
)
def test_a_plan_survives_json(target, weights, proto, plan_of):
    plan = plan_of(proto, target, weights=weights)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_ties_and_integer_nodes(proto, plan_of):
    plan = plan_of(proto)
    assert plan.ties == {"f": ["f", "p"]}
    assert list(plan.integer_nodes) == ["g", "m", "s", "m2"]
    assert plan.model


def _without(key):
    return lambda data: {k: v for k, v in data.items() if k != key}


BROKEN = {
    "empty": lambda data: {},
    "version": lambda data: {**data, "version": 99},
    "no-nodes": _without("nodes"),
    "list": lambda data: {**data, "activations": []},
    "operands": lambda data: {**data, "operands": {}},
    "decision": lambda data: {**data, "nodes": {"a": {"decision": "magic"}}},
    "field": lambda data: {**data, "nodes": {"a": {"decision": "float", "why": "x"}}},
    "scheme": lambda data: {**data, "activations": {"a": {"scheme": {"bits": 8}}}},
    "opset": lambda data: {**data, "opset": "many"},
    "index": lambda data: {**data, "operands": [{"node": "a", "index": "b", "kind": "bias"}]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_plan_is_refused(name, proto, plan_of):
    data = plan_of(proto).to_dict()
    with pytest.raises(DataError, match="is not a plan of this version"):
        Plan.from_dict(BROKEN[name](data))
