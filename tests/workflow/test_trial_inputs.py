"""Made-up inputs take two sizes of each free dimension, as far as the model takes them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.parser import parse_model

from onnxq.engine import open_session, runner
from onnxq.errors import DataError, ModelError
from onnxq.graph import load
from onnxq.workflow.trial_inputs import declared_inputs, given_inputs, made_up_inputs

_HEAD = '<ir_version: 8, opset_import: ["": 17]> g '


def made_up(text):
    model = load(parse_model(_HEAD + text))
    found = made_up_inputs(declared_inputs(model), runner(open_session(model)))
    return found, [[list(v.shape) for v in feed.values()] for feed in found.feeds]


def test_fixed_shapes_need_no_search():
    model = load(parse_model(_HEAD + "(float[2,3] x) => (float[2,3] y) { y = Relu(x) }"))
    found = made_up_inputs(declared_inputs(model), None)
    assert [feed["x"].shape for feed in found.feeds] == [(2, 3), (2, 3)]
    assert not np.array_equal(found.feeds[0]["x"], found.feeds[1]["x"])
    assert found.description == "2 made-up inputs: x [2, 3]"


def test_every_free_dimension_has_two_sizes():
    found, shapes = made_up("(float[N,3,T] x) => (float[N,3,T] y) { y = Relu(x) }")
    assert shapes == [[[2, 3, 32]], [[1, 3, 64]]]
    assert found.timed is found.feeds[-1]
    assert found.description == "2 made-up inputs: x [2, 3, 32]; x [1, 3, 64]"


def test_one_name_is_one_size():
    _, shapes = made_up(
        "(float[N,T] a, float[N,T] b) => (float[N,T] y) { y = Add(a, b) }",
    )
    assert shapes == [[[2, 32], [2, 32]], [[1, 64], [1, 64]]]


def test_sizes_that_must_agree_are_found_though_names_differ():
    _, shapes = made_up(
        "(float[N,H] a, float[M,W] b) => (float[N,H] y) { y = Add(a, b) }",
    )
    assert len({str(s) for s in shapes}) == 2
    assert all(a == b for a, b in shapes)


def test_models_of_one_size_get_two_inputs_of_it():
    # Only a batch of one element fits this Reshape.
    found, shapes = made_up(
        "(float[N] x) => (float[] y) <int64[0] s = {}> { y = Reshape(x, s) }",
    )
    assert shapes == [[[1]], [[1]]]
    assert not np.array_equal(found.feeds[0]["x"], found.feeds[1]["x"])


def test_pictures_are_timed_at_a_usual_size():
    found, shapes = made_up("(float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }")
    assert shapes == [[[2, 3, 32, 64]], [[1, 3, 64, 96]]]
    assert found.timed["x"].shape == (1, 3, 224, 224)
    line, _ = made_up(
        "(float[N,1,48,W] x) => (float[N,1,48,W] y) { y = Relu(x) }",
    )
    assert line.timed["x"].shape == (1, 1, 48, 224)


def test_a_dimension_of_minus_one_is_free():
    proto = parse_model(_HEAD + "(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert declared_inputs(load(proto))[0].shape == (None, 3)


def test_sequences_cannot_be_made_up():
    model = load(
        parse_model(
            _HEAD + "(seq(float[2]) x) => (float[n] y) { y = ConcatFromSequence<axis=0>(x) }"
        )
    )
    with pytest.raises(ModelError, match=r"input 'x'.*only tensors"):
        declared_inputs(model)


def test_given_samples_are_limited_and_kept():
    model = load(parse_model(_HEAD + "(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"))
    buffer = np.zeros((1, 3), np.float32)

    def samples():
        for index in range(5):
            buffer[:] = index
            yield {"x": buffer}

    found = given_inputs(samples(), declared_inputs(model), 3)
    assert [float(feed["x"][0, 0]) for feed in found.feeds] == [0, 1, 2]
    assert found.description == "3 sample(s) of generator"
    with pytest.raises(DataError, match="axis 1 is 4 instead of 3"):
        given_inputs([np.zeros((1, 4), np.float32)], declared_inputs(model), 3)
