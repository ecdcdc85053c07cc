"""Reductions read and written in any operator set."""

from __future__ import annotations

import pytest
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.passes.dimensions import know
from onnxq.rules import Workspace
from onnxq.rules.structure.reductions import (
    absolute,
    add_reduction,
    constant_axes,
    count,
    reduced_shape,
    reduction,
)


def _work(opset: int, body: str) -> Workspace:
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[n,3,4] x, int64[k] axes) => (float[a] y)
    <int64[2] two = {{-1, 1}}, int64[0] none = {{}}> {{ y = {body} }}"""
    model = load(parse_model(text))
    return Workspace(model, know(model))


@pytest.mark.parametrize(
    ("opset", "body", "axes", "keepdims"),
    [
        (11, "ReduceSum<axes = [-1, 1], keepdims = 0>(x)", (1, 2), False),
        (13, "ReduceSum(x, two)", (1, 2), True),
        (17, "ReduceMean<axes = [2]>(x)", (2,), True),
        (18, "ReduceMax<keepdims = 0>(x, two)", (1, 2), False),
        (18, "ReduceMax(x)", (0, 1, 2), True),
        (18, "ReduceMax(x, none)", (0, 1, 2), True),
        (13, "ReduceSum<keepdims = 0>(x)", (0, 1, 2), False),
    ],
)
def test_read(opset, body, axes, keepdims):
    work = _work(opset, body)
    found = reduction(work, work.model.nodes[0])
    assert found is not None
    assert (found.axes, found.keepdims, found.rank) == (axes, keepdims, 3)


@pytest.mark.parametrize(
    ("opset", "body"),
    [
        (13, "ReduceSum(x, axes)"),
        (13, "ReduceSum<noop_with_empty_axes = 1>(x)"),
        (13, "ReduceSum<noop_with_empty_axes = 1>(x, none)"),
        (11, "ReduceSum<axes = [5]>(x)"),
    ],
)
def test_unknown_or_idle(opset, body):
    work = _work(opset, body)
    assert reduction(work, work.model.nodes[0]) is None


@pytest.mark.parametrize(
    ("opset", "op", "as_input"),
    [
        (12, "ReduceSum", False),
        (13, "ReduceSum", True),
        (17, "ReduceMean", False),
        (18, "ReduceMean", True),
    ],
)
def test_written_as_the_operator_set_wants(opset, op, as_input):
    work = _work(opset, "Abs(x)")
    result = add_reduction(work, op, work.model.inputs[0], (1,), keepdims=False, name="r")
    node = result.inputs[0]
    assert ("axes" in node.attrs) is not as_input
    assert constant_axes(work, node, 1) == (1,)
    assert work.shape(result) == ("n", 4)


def test_axes_and_shapes():
    assert absolute((-1, 0), 3) == (0, 2)
    assert absolute((1, -2), 3) == ()
    assert absolute((3,), 3) == ()
    assert count((2, "n", 4), (0, 2)) == 8
    assert count((2, "n", 4), (1,)) is None
    assert count(None, (0,)) is None
    assert reduced_shape((2, "n", 4), (1,), keepdims=True) == (2, 1, 4)
    assert reduced_shape((2, "n", 4), (0, 2), keepdims=False) == ("n",)
    assert reduced_shape(None, (0,), keepdims=True) is None
