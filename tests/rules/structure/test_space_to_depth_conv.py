"""Convolutions behind SpaceToDepth."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.rules.structure.space_to_depth_conv import FoldSpaceToDepthIntoConv


def _model(
    channels: int = 3, *, block: int = 2, kernel: int = 3, opset: int = 13, **attrs
) -> onnx.ModelProto:
    generator = np.random.default_rng(channels)
    groups = attrs.get("group", 1)
    weight = generator.standard_normal((4, channels * block**2 // groups, kernel, kernel))
    bias = generator.standard_normal(4)
    nodes = [
        helper.make_node("SpaceToDepth", ["x"], ["s"], blocksize=block, name="blocks"),
        helper.make_node("Conv", ["s", "w", "b"], ["y"], name="conv", **attrs),
    ]
    size = 6 * block
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [
            numpy_helper.from_array(weight.astype(np.float32), "w"),
            numpy_helper.from_array(bias.astype(np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(
    ("channels", "changes"),
    [
        (3, {"pads": [1, 1, 1, 1]}),
        (3, {"pads": [0, 1, 2, 1], "strides": [2, 1]}),
        (3, {"kernel": 1, "block": 4}),
        (16, {"block": 3, "kernel_shape": [3, 3]}),
        (17, {"kernel": 1}),
        (3, {"auto_pad": "VALID"}),
    ],
)
def test_fold(applying, channels, changes):
    outcome = applying(_model(channels, **changes), FoldSpaceToDepthIntoConv(), atol=1e-4)
    assert outcome.ops == ["Conv"]
    assert outcome.applied == ["folded into the stride of conv"]
    (conv,) = outcome.model.nodes
    block, kernel = changes.get("block", 2), changes.get("kernel", 3)
    assert conv.inputs[1].shape == (4, channels, block * kernel, block * kernel)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_model(17), "17 channels: a larger kernel is not faster"),
        (_model(4, group=2), "conv has groups"),
        (_model(dilations=[2, 2]), "conv is dilated"),
        (_model(auto_pad="SAME_UPPER"), "conv pads automatically"),
    ],
)
def test_near_misses(applying, model, reason):
    outcome = applying(model, FoldSpaceToDepthIntoConv())
    assert outcome.refused == [reason]
    assert not outcome.applied


def test_weight_from_outside(applying):
    model = _model()
    weight = model.graph.initializer[0]
    model.graph.input.append(
        helper.make_tensor_value_info("w", TensorProto.FLOAT, list(weight.dims))
    )
    outcome = applying(model, FoldSpaceToDepthIntoConv())
    assert outcome.refused == ["the weight of conv is not a constant of four axes"]


def test_others_read_the_blocks(applying):
    model = _model()
    model.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, [None] * 4))
    outcome = applying(model, FoldSpaceToDepthIntoConv())
    assert not outcome.applied
    assert not outcome.refused
