"""FusePad: zero padding goes into the convolution, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.passes import FusePad

Applying = Callable[..., Any]


def _model(
    pads: list[int],
    *,
    opset: int = 18,
    pad_attributes: dict[str, Any] | None = None,
    pad_inputs: dict[str, Any] | None = None,
    conv_attributes: dict[str, Any] | None = None,
    rank: int = 4,
) -> onnx.ModelProto:
    """Pad → Conv over [1, 2, 6, …]; further Pad inputs by position name (value, axes)."""
    random = np.random.default_rng(0)
    stored = {"w": random.standard_normal((3, 2, *[3] * (rank - 2))).astype(np.float32)}
    stored |= {"pads": np.asarray(pads, np.int64)} | (pad_inputs or {})
    order = ["pads", "value", "axes"]
    names = [name if name in stored else "" for name in order]
    while not names[-1]:
        names.pop()
    attributes = pad_attributes or {}
    inputs = ["x"] if "pads" in attributes else ["x", *names]
    nodes = [
        helper.make_node("Pad", inputs, ["p"], name="pad", **attributes),
        helper.make_node("Conv", ["p", "w"], ["y"], name="conv", **(conv_attributes or {})),
    ]
    if "pads" in attributes:
        stored.pop("pads")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, *[6] * (rank - 2)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_padding_moves_into_the_convolution(rank: int, applying: Applying) -> None:
    spatial = rank - 2
    pads = [0, 0, *range(1, spatial + 1), 0, 0, *range(2, spatial + 2)]
    outcome = applying(_model(pads, rank=rank), FusePad())
    assert outcome.ops == ["Conv"]
    assert outcome.applied == ["folded into 'conv' (Conv)"]


def test_both_paddings_add_up(applying: Applying) -> None:
    conv = {"pads": [1, 0, 2, 1], "strides": [2, 2]}
    model = _model([0, 0, 0, 2, 0, 0, 1, 0], conv_attributes=conv)
    outcome = applying(model, FusePad())
    assert outcome.model.nodes[0].attrs["pads"] == [1, 2, 3, 1]


def test_axes_name_what_is_padded(applying: Applying) -> None:
    axes = {"axes": np.asarray([-1, 2], np.int64)}
    outcome = applying(_model([1, 0, 2, 3], pad_inputs=axes), FusePad())
    assert outcome.model.nodes[0].attrs["pads"] == [0, 1, 3, 2]


def test_attributes_of_old_operator_sets(applying: Applying) -> None:
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    outcome = applying(_model(pads, opset=10, pad_attributes={"pads": pads}), FusePad())
    assert outcome.ops == ["Conv"]


@pytest.mark.parametrize(
    ("pads", "changes", "reason"),
    [
        (
            [0, 0, 1, 1, 0, 0, 1, 1],
            {"pad_attributes": {"mode": "reflect"}},
            "pads by reflect, the convolution after it with zeros",
        ),
        (
            [0, 0, 1, 1, 0, 0, 1, 1],
            {"pad_inputs": {"value": np.float32(1)}},
            "pads with a value that is not known to be 0",
        ),
        ([0, 0, -1, 0, 0, 0, 0, 0], {}, "crops"),
        ([1, 0, 0, 0, 0, 0, 0, 0], {}, "pads the batch or the channels too"),
        (
            [0, 0, 1, 1, 0, 0, 1, 1],
            {"conv_attributes": {"auto_pad": "SAME_UPPER"}},
            "'conv' pads by itself to keep the shape",
        ),
    ],
)
def test_refusals(
    pads: list[int], changes: dict[str, Any], reason: str, applying: Applying
) -> None:
    outcome = applying(_model(pads, **changes), FusePad())
    assert outcome.refused == [reason]
    assert outcome.ops == ["Pad", "Conv"]
