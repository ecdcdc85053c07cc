"""Which groups form, what holds the others, and that the work stays linear."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.coupling import Cut, Side, can_lose, channel_groups, coverage
from onnxq.graph import load


def _model(graph: str, *, overridable: bool = False) -> onnx.ModelProto:
    """A graph from text; inputs with capital names become weights of ones."""
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{graph}')
    weights = [v for v in proto.graph.input if v.name[0].isupper()]
    for value in weights:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        proto.graph.initializer.append(
            numpy_helper.from_array(np.ones(shape, np.float32), value.name)
        )
        if not overridable:
            proto.graph.input.remove(value)
    return proto


def _members(group):
    return {(m.tensor, m.axis, m.side): m.positions.tolist() for m in group.members}


def test_one_layer_after_another():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[3,2,1,1] W, float[3] B, float[5,3,1,1] U) => (float[a,b,c,d] y)
        { a = Conv(x, W, B) r = Relu(a) y = Conv(r, U) }""")
        )
    )
    (group,) = grouping.groups
    assert (group.name, group.size) == ("Conv_0", 3)
    each = [[0], [1], [2]]
    assert _members(group) == {
        ("W", 0, Side.OUTPUT): each,
        ("B", 0, Side.BESIDE): each,
        ("U", 1, Side.INPUT): each,
    }
    (frozen,) = grouping.frozen
    assert (frozen.name, frozen.tensors, frozen.channels) == ("Conv_1", (("U", 0),), 5)
    assert frozen.reason == "'y' is an output of the model"


def test_flatten_gives_every_channel_its_places():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,2,3] x, float[3,2,1,1] W, float[18,4] U) => (float[a,b] y)
        { a = Conv(x, W) r = Flatten(a) y = MatMul(r, U) }""")
        )
    )
    (group,) = grouping.groups
    places = _members(group)["U", 0, Side.INPUT]
    assert places == [list(range(6 * c, 6 * c + 6)) for c in range(3)]


def test_a_residual_sum_ties_its_producers():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[4,2,1,1] W, float[4,4,1,1] U, float[2,4,1,1] V)
        => (float[a,b,c,d] y)
        { a = Conv(x, W) b = Conv(a, U) s = Add(a, b) y = Conv(s, V) }""")
        )
    )
    (group,) = grouping.groups
    assert {(m.tensor, m.axis) for m in group.members} == {("W", 0), ("U", 0), ("U", 1), ("V", 1)}


def test_concat_keeps_groups_apart():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[4,2,1,1] W, float[3,2,1,1] U, float[2,7,1,1] V)
        => (float[a,b,c,d] y)
        { a = Conv(x, W) b = Conv(x, U) s = Concat<axis=1>(a, b) y = Conv(s, V) }""")
        )
    )
    first, second = grouping.groups
    assert _members(first)["V", 1, Side.INPUT] == [[0], [1], [2], [3]]
    assert _members(second)["V", 1, Side.INPUT] == [[4], [5], [6]]


def test_parts_with_other_readers_are_groups_of_their_own():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[5,2,1,1] W, float[3,2,1,1] U, float[3,3,1,1] V)
        => (float[a,b,c,d] y, float[e,f,h,i] z)
        { a = Conv(x, W) n = Constant<value_ints=[2,3]>() b, c = Split<axis=1>(a, n)
          y = Conv(b, U) z = Conv(c, V) }""")
        )
    )
    assert [(g.name, g.size) for g in grouping.groups] == [("Conv_0", 2), ("Conv_0#2", 3)]


def test_groups_of_a_convolution_stay_equally_wide():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[6,2,1,1] W, float[4,3,1,1] U, float[2,4,1,1] V)
        => (float[a,b,c,d] y)
        { a = Conv(x, W) b = Conv<group=2>(a, U) y = Conv(b, V) }""")
        )
    )
    first, second = grouping.groups
    assert _members(first)["W", 0, Side.OUTPUT] == [[0, 3], [1, 4], [2, 5]]
    assert _members(first)["U", 1, Side.INPUT] == [[0], [1], [2]]
    assert _members(second)["U", 0, Side.OUTPUT] == [[0, 2], [1, 3]]


def test_an_unknown_operator_holds_what_it_touches_and_is_named():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[3,2,1,1] W, float[5,3,1,1] U, float[2,5,1,1] V)
        => (float[a,b,c,d] y)
        { a = Conv(x, W) t = Det(a) b = Conv(a, U) y = Conv(b, V) }""")
        )
    )
    assert [g.name for g in grouping.groups] == ["Conv_1"]
    assert grouping.frozen[0].reason == "'Det_0' (Det) is not followed"


def test_weights_that_callers_may_replace_are_named():
    source = _model(
        """
        g (float[1,2,4,4] x, float[3,2,1,1] W, float[5,3,1,1] U) => (float[a,b,c,d] y)
        { a = Conv(x, W) y = Conv(a, U) }""",
        overridable=True,
    )
    grouping = channel_groups(load(source))
    assert not grouping.groups
    assert "'W' is an input of the model" in grouping.frozen[0].reason


def test_coverage_counts_rows_and_columns():
    grouping = channel_groups(
        load(
            _model("""
        g (float[1,2,4,4] x, float[8,2,1,1] W, float[4,8,1,1] U, float[1,4,4,4] D)
        => (float[a,b,c,d] y)
        { a = Conv(x, W) b = Conv(a, U) y = Add(b, D) }""")
        )
    )
    share = coverage(grouping)
    assert (share.total, share.prunable) == (16 + 32, 16 + 32)
    (group,) = grouping.groups
    assert can_lose(group, 0.5, 4)
    assert can_lose(group, 0.3, 1)
    # Four of eight is more than one and a half times 30 %.
    assert not can_lose(group, 0.3, 4)


@pytest.mark.parametrize("cut", Cut)
def test_time_grows_with_the_nodes(cut):
    def chain(length: int) -> onnx.ModelProto:
        nodes, weights = [], []
        for i in range(length):
            weights.append(numpy_helper.from_array(np.ones((8, 8, 1, 1), np.float32), f"w{i}"))
            nodes.append(helper.make_node("Conv", [f"t{i}", f"w{i}"], [f"c{i}"]))
            nodes.append(helper.make_node("Add", [f"c{i}", f"t{i}"], [f"t{i + 1}"]))
        value = helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, 8, 4, 4])
        result = helper.make_tensor_value_info(f"t{length}", TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, "chain", [value], [result], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def seconds(length: int) -> float:
        model = load(chain(length))
        started = time.process_time()
        channel_groups(model, cut)
        return time.process_time() - started

    seconds(50)
    few, many = min(seconds(250) for _ in range(2)), seconds(1000)
    # Four times the nodes; a quadratic step would show as sixteen times.
    assert many < 10 * few + 0.2
