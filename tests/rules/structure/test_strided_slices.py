"""Every second row and column, four times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import Model
from onnxq.passes import Event
from onnxq.rules import rewrite_all
from onnxq.rules.structure.channel_gather import FoldChannelGather
from onnxq.rules.structure.space_to_depth_conv import FoldSpaceToDepthIntoConv
from onnxq.rules.structure.strided_slices import FuseStridedSlices

_END = 2**31 - 1
Phase = tuple[int, int]


def _model(
    order: list[Phase],
    *,
    block: int = 2,
    axes: tuple[int, int] = (2, 3),
    concat: int = 1,
    shape: tuple[int | str, ...] = (2, 3, 4, 6),
    at_once: bool = True,
    end: int = _END,
    dtype: int = TensorProto.FLOAT,
    opset: int = 13,
) -> onnx.ModelProto:
    nodes, constants = [], {}

    def sliced(source: str, name: str, starts: list[int], over: list[int]) -> str:
        lists = {"s": starts, "e": [end] * len(over), "a": over, "t": [block] * len(over)}
        inputs = [source]
        for key, values in lists.items():
            constants[f"{name}_{key}"] = np.array(values, np.int64)
            inputs.append(f"{name}_{key}")
        nodes.append(helper.make_node("Slice", inputs, [name]))
        return name

    parts = []
    for row, column in order:
        name = f"p{row}{column}_{len(parts)}"
        if at_once:
            parts.append(sliced("x", name, [row, column], list(axes)))
            continue
        if f"r{row}_s" not in constants:
            sliced("x", f"r{row}", [row], [axes[0]])
        parts.append(sliced(f"r{row}", name, [column], [axes[1] - 4]))
    nodes.append(helper.make_node("Concat", parts, ["y"], axis=concat, name="join"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, [None] * 4)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


_BY_ROW = [(0, 0), (0, 1), (1, 0), (1, 1)]
_BY_COLUMN = [(0, 0), (1, 0), (0, 1), (1, 1)]
_MIXED = [(1, 1), (0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("order", "ops"),
    [
        (_BY_ROW, ["SpaceToDepth"]),
        (_BY_COLUMN, ["SpaceToDepth", "Gather"]),
        (_MIXED, ["SpaceToDepth", "Gather"]),
    ],
)
def test_channels_first(applying, order, ops, at_once):
    outcome = applying(_model(order, at_once=at_once), FuseStridedSlices())
    assert outcome.ops == ops
    assert outcome.applied == ["became SpaceToDepth, with the slices before it"]


def test_free_height_and_width(applying):
    model = _model(_BY_COLUMN, shape=("n", 3, "height", "width"))
    assert applying(model, FuseStridedSlices()).ops == ["SpaceToDepth", "Gather"]


def test_blocks_of_three(applying):
    order = list(product(range(3), range(3)))
    model = _model(order, block=3, shape=(1, 2, 6, 9))
    assert applying(model, FuseStridedSlices()).ops == ["SpaceToDepth"]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", [_BY_ROW, _BY_COLUMN])
def test_channels_last(applying, order, at_once):
    model = _model(order, axes=(1, 2), concat=-1, shape=("n", 4, 6, 5), at_once=at_once)
    outcome = applying(model, FuseStridedSlices())
    assert outcome.ops == ["Reshape", "Transpose", "Reshape"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            _model(_MIXED, axes=(1, 2), concat=3, shape=("n", 4, 6, 5)),
            "sizes or order of the phases do not allow it",
        ),
        (
            _model(_BY_ROW, axes=(1, 2), concat=3, shape=("n", "height", 6, 5)),
            "sizes or order of the phases do not allow it",
        ),
        (
            _model(_BY_ROW, shape=("n", "channels", 4, 4)),
            "sizes or order of the phases do not allow it",
        ),
        (_model(_BY_ROW, concat=0), "phases of axes (2, 3) lie along axis 0"),
        (_model(_BY_ROW, dtype=TensorProto.INT32), "the input is int32, not float32"),
    ],
)
def test_near_misses(applying, model, reason):
    outcome = applying(model, FuseStridedSlices())
    assert outcome.refused == [reason]


@pytest.mark.parametrize(
    "model",
    [
        _model([(0, 0), (0, 1), (1, 0), (1, 0)]),
        _model(_BY_ROW, end=3, shape=(1, 3, 4, 4)),
        _model(_BY_ROW[:3]),
        _model(_BY_ROW, block=3, shape=(1, 3, 6, 6)),
    ],
)
def test_other_slices(applying, model):
    outcome = applying(model, FuseStridedSlices(), runs=False)
    assert not outcome.applied
    assert not outcome.refused


@dataclass(frozen=True)
class _Together:
    """Several rules at once."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        rules = (FuseStridedSlices(), FoldChannelGather(), FoldSpaceToDepthIntoConv())
        yield from rewrite_all(model, rules)


@pytest.mark.parametrize("order", [_BY_ROW, _BY_COLUMN, _MIXED])
def test_focus_layer_becomes_one_convolution(applying, order):
    model = _model(order, shape=("n", 3, "height", "width"), at_once=False)
    model.graph.output[0].name = "z"
    weight = np.random.default_rng(0).standard_normal((4, 12, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    conv = helper.make_node("Conv", ["y", "w"], ["z"], pads=[1, 1, 1, 1], name="conv")
    model.graph.node.append(conv)
    outcome = applying(model, _Together(), atol=1e-5)
    assert outcome.ops == ["Conv"]
    assert outcome.model.nodes[0].attrs["strides"] == [2, 2]
