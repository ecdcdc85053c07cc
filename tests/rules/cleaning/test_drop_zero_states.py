"""Initial states of zeros are left out, however they are spelled."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.rules.cleaning.drop_zero_states import DropZeroStates

_STATES = {
    "ConstantOfShape": "h = ConstantOfShape(target)",
    "Expand": "h = Expand(zero, target)",
    "joined": "e = Expand(flat, part) u = Unsqueeze(e, i0) h = Concat <axis = 0> (u, u)",
    "split": "e = Expand(zero, long) h, k = Split <axis = 0> (e, both)",
    "cast and sliced": """e = Expand(zero, long) c = Cast <to = 1> (e)
        h = Slice(c, i0, i2, i0)""",
}

_NEAR = {
    "one": ("h = Expand(one, target)", "'one' is not 0 everywhere"),
    "ones": (
        "h = ConstantOfShape <value = float[1] {1}> (target)",
        "'h' is not 0 everywhere",
    ),
    "partly": (
        "e = Expand(zero, row) f = Expand(one, row) h = Concat <axis = 0> (e, f)",
        "'one' is not 0 everywhere",
    ),
    "default": (
        "h = Expand(usual, target)",
        "'usual' is computed or may be overridden at run time",
    ),
    "many": (
        "n0 = Expand(zero, target) "
        + " ".join(f"n{i} = Cast <to = 1> (n{i - 1})" for i in range(1, 40))
        + " h = Cast <to = 1> (n39)",
        "more than 32 nodes make 'h'",
    ),
}

_OTHERS = {
    "given": "h = Expand(x0, target)",
    "computed": "z = Expand(zero, target) h = Cos(z)",
}


def _model(op: str, states: str, reads: list[str]) -> onnx.ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    text = f"""<ir_version: 8, opset_import: ["": 17]>
      g (float[5,N,3] x, float x0, float usual) => (float[5,2,N,2] y)
      <float usual = {{0}},
       float zero = {{0}}, float one = {{1}}, float[1,1] flat = {{0}}, int64[1] i0 = {{0}},
       int64[1] i1 = {{1}}, int64[1] i2 = {{2}}, int64[2] hidden = {{2, 2}}, int64[1] two = {{2}},
       float[2,1,2] stored = {{0, 0, 0, 0}}, int64[1] i4 = {{4}},
       int64[1] one1 = {{1}}, int64[2] both = {{2, 2}}> {{
        s = Shape(x) n = Slice(s, i1, i2) target = Concat <axis = 0> (two, n, two)
        part = Concat <axis = 0> (n, two) long = Concat <axis = 0> (i4, n, two)
        row = Concat <axis = 0> (one1, n, two) {states} y = Neg(h) }}"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    weights = {
        "W": random.standard_normal((2, gates * 2, 3)),
        "R": random.standard_normal((2, gates * 2, 2)),
        "B": random.standard_normal((2, gates * 4)),
    }
    for name, value in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    inputs = ["x", "W", "R", "B", "", *reads]
    layer = helper.make_node(op, inputs, ["y"], hidden_size=2, direction="bidirectional")
    proto.graph.node[-1].CopyFrom(layer)
    return proto


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("name", _STATES)
def test_left_out(op, name, applying):
    reads = ["h", "h"] if op == "LSTM" else ["h"]
    outcome = applying(_model(op, _STATES[name], reads), DropZeroStates())
    layer = outcome.model.nodes[-1]
    assert len(layer.inputs) == 5
    assert outcome.applied == [f"{len(reads)} initial state(s) of zeros were left out"]


def test_constants(applying):
    proto = _model("LSTM", "h = Neg(x)", ["stored", "stored"])
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    assert len(applying(proto, DropZeroStates()).model.nodes[-1].inputs) == 5


@pytest.mark.parametrize("name", _NEAR)
def test_near_misses(name, applying):
    states, reason = _NEAR[name]
    assert applying(_model("GRU", states, ["h"]), DropZeroStates()).refused == [reason]


@pytest.mark.parametrize("name", _OTHERS)
def test_other_states_stay(name, applying):
    assert not applying(_model("GRU", _OTHERS[name], ["h"]), DropZeroStates()).report.events


def test_one_of_two(applying):
    states = "h = Expand(one, target) c = Expand(zero, target)"
    outcome = applying(_model("LSTM", states, ["h", "c"]), DropZeroStates())
    assert [t.name for t in outcome.model.nodes[-1].inputs[5:]] == ["h", ""]
    outcome = applying(_model("LSTM", states, ["c", "h"]), DropZeroStates())
    assert [t.name for t in outcome.model.nodes[-1].inputs[5:]] == ["", "h"]


def test_a_layer_without_states(applying):
    proto = _model("GRU", "h = Neg(x)", [])
    assert not applying(proto, DropZeroStates()).report.events
