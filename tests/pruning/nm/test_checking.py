"""Patterns found in float weights, and in codes however they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.graph import load, promise_sparsity, sparse_layers
from onnxq.pruning.nm import check_layers, lost_patterns, renew_promises, stored_weight
from onnxq.quant import Pattern

ROWS = np.array([[3, 0], [0, 2], [4, 0], [0, 9], [0, 0], [1, 0], [0, 0], [7, 5]], np.float32)
"""[8, 2]: 2:4 along axis 0."""
ZERO = np.array([2, -3], np.int8)


def _model(body, **arrays):
    proto = parse_model(
        f"""<ir_version: 10, opset_import: ["": 21]>
        g (float[1,8] x) => (float[1,2] y) {{ {body} }}"""
    )
    for name, value in arrays.items():
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return load(proto)


CODES = (ROWS + ZERO).astype(np.int8)
SCALE = np.array([0.5, 0.25], np.float32)
DEQUANTIZED = "[q] w = DequantizeLinear <axis = {axis}> ({inputs}) [n] y = {node}"
BLOCKS = np.array([[1, -1], [5, 3]], np.int8)
STORED = {
    "float": ("[n] y = MatMul (x, W)", {"W": ROWS}),
    "transposed": (
        "[t] w = Transpose <perm = [1, 0]> (W) [n] y = MatMul (x, w)",
        {"W": ROWS.T.copy()},
    ),
    "cast": ("[c] w = Cast <to = 1> (W) [n] y = MatMul (x, w)", {"W": ROWS.astype(np.float16)}),
    "per channel": (
        DEQUANTIZED.format(axis=1, inputs="W, S, Z", node="MatMul (x, w)"),
        {"W": CODES, "S": SCALE, "Z": ZERO},
    ),
    "per channel, transB": (
        DEQUANTIZED.format(axis=0, inputs="W, S, Z", node="Gemm <transB = 1> (x, w)"),
        {"W": CODES.T.copy(), "S": SCALE, "Z": ZERO},
    ),
    "symmetric": (
        DEQUANTIZED.format(axis=1, inputs="W, S", node="MatMul (x, w)"),
        {"W": ROWS.astype(np.int8), "S": SCALE},
    ),
    "blocks": (
        "[q] w = DequantizeLinear <axis = 0, block_size = 4> (W, S, Z) [n] y = MatMul (x, w)",
        {
            "W": (ROWS + np.repeat(BLOCKS, 4, axis=0)).astype(np.int8),
            "S": np.ones((2, 2), np.float32),
            "Z": BLOCKS,
        },
    ),
    "integer product": (
        "[d] c, s, z = DynamicQuantizeLinear (x) [n] i = MatMulInteger (c, W, z, Z) "
        "[f] y = Cast <to = 1> (i)",
        {"W": CODES, "Z": ZERO},
    ),
}


@pytest.mark.parametrize(("body", "arrays"), STORED.values(), ids=STORED)
def test_zeros_are_found(body, arrays):
    model = _model(body, **arrays)
    node = next(node for node in model.nodes if node.name == "n")
    found = stored_weight(node)
    assert found is not None
    expected = ROWS != 0
    transposed = found.used.shape != expected.shape
    assert np.array_equal(found.used.T if transposed else found.used, expected)
    assert found.dtype == arrays["W"].dtype
    promise_sparsity(model, {"n": Pattern(2, 4)})
    [layer] = check_layers(model)
    assert (layer.node, layer.fault, layer.found) == ("n", "", Pattern(2, 4))
    assert layer.axis == int(transposed)
    assert layer.zeros == pytest.approx(np.mean(ROWS == 0))


@pytest.mark.parametrize(("body", "arrays"), STORED.values(), ids=STORED)
def test_one_more_weight_breaks_it(body, arrays):
    weight = arrays["W"].copy()
    place = (0, 1) if weight.shape == (2, 8) else (1, 0)
    weight[place] += 1
    model = _model(body, **{**arrays, "W": weight})
    promise_sparsity(model, {"n": Pattern(2, 4)})
    [layer] = check_layers(model)
    assert layer.fault == "1 of 4 blocks break 2:4"
    assert (layer.found, layer.violations, layer.blocks) == (None, 1, 4)


@pytest.mark.parametrize("weight", [np.ones(8, np.float32), np.float32(2)])
def test_vectors_are_no_weights_of_layers(weight):
    model = _model("[n] y = MatMul (x, W)", W=np.asarray(weight))
    assert check_layers(model, Pattern(2, 4)) == []


MISFITS = {
    "an axis that is not there": (
        DEQUANTIZED.format(axis=255, inputs="W, S, Z", node="MatMul (x, w)"),
        ZERO,
    ),
    "more zero points than channels": (
        DEQUANTIZED.format(axis=1, inputs="W, S, Z", node="MatMul (x, w)"),
        np.array([1, 2, 3], np.int8),
    ),
    "fewer blocks than there are": (
        "[q] w = DequantizeLinear <axis = 0, block_size = 2> (W, S, Z) [n] y = MatMul (x, w)",
        BLOCKS,
    ),
    "an order of other axes": (
        "[q] q = DequantizeLinear <axis = 1> (W, S, Z) "
        "[t] w = Transpose <perm = [1, 2]> (q) [n] y = MatMul (x, w)",
        ZERO,
    ),
}


@pytest.mark.parametrize(("body", "zero_point"), MISFITS.values(), ids=MISFITS)
def test_codes_and_zero_points_that_do_not_fit(body, zero_point):
    model = _model(body, W=CODES, S=SCALE, Z=zero_point)
    assert stored_weight(next(node for node in model.nodes if node.name == "n")) is None


def test_qlinear_conv():
    weight = np.zeros((2, 4, 1, 1), np.int8) + ZERO[:, None, None, None]
    weight[0, :2] += 1
    proto = parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (uint8[1,4,5,5] x) => (uint8[1,2,5,5] y) {
          [n] y = QLinearConv (x, s, z, W, S, Z, s, z) }"""
    )
    scalars = {"s": np.float32(1), "S": np.float32(1), "z": np.uint8(0)}
    for name, value in {"W": weight, "Z": ZERO, **scalars}.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    [layer] = check_layers(load(proto))
    assert (layer.zeros, layer.found) == (0.75, Pattern(2, 4))


def test_promises_that_nobody_can_keep():
    model = _model("[a] v = Relu (x) [n] y = MatMul (x, v)")
    promise_sparsity(model, {"n": Pattern(2, 4), "gone": Pattern(1, 2)})
    faults = {layer.node: layer.fault for layer in check_layers(model)}
    assert faults == {
        "n": "its weight is not known beforehand",
        "gone": "there is no such layer",
    }


def test_channels_that_make_no_whole_blocks():
    model = _model("[n] y = MatMul (x, W)", W=np.zeros((6, 2), np.float32))
    promise_sparsity(model, {"n": Pattern(2, 4)})
    [layer] = check_layers(model)
    assert layer.fault == "6 input channels are no multiple of 4"


@pytest.mark.parametrize(
    ("asked", "found", "violations"),
    [(None, Pattern(2, 4), 0), (Pattern(4, 8), Pattern(4, 8), 0), (Pattern(1, 2), None, 1)],
)
def test_patterns_nobody_promised(asked, found, violations):
    rows = np.array([[1], [1], [0], [0], [0], [2], [0], [0]], np.float32)
    model = _model("[n] y = MatMul (x, W)", W=np.hstack([rows, rows]))
    [layer] = check_layers(model, asked)
    assert layer.promised is None
    assert layer.fault == ""
    assert layer.found == found
    assert layer.violations >= violations


def _two(first, second, names=("a", "b")):
    model = _model(
        f"[{names[0]}] h = MatMul (x, W) [{names[1]}] y = MatMul (h, V)", W=first, V=second
    )
    promise_sparsity(model, {"a": Pattern(2, 4)})
    return model


SQUARE = np.kron(np.eye(2), np.array([[1, 0, 2, 0], [0, 3, 0, 1], [4, 0, 0, 5], [0, 6, 7, 0]]))
SQUARE = SQUARE.astype(np.float32)


def test_what_an_edit_lost():
    before = _two(SQUARE, ROWS)
    assert lost_patterns(before, _two(SQUARE * 3, ROWS, names=("c", "d"))) == ""
    assert "64 were mixed" in lost_patterns(before, _two(SQUARE + 1, ROWS))


def test_promises_follow_layers_that_are_renamed():
    after = _two(SQUARE, np.ones((8, 2), np.float32), names=("c", "d"))
    renew_promises(after, {"a": Pattern(2, 4)}, ["a", "b"])
    assert sparse_layers(after) == {"c": Pattern(2, 4)}
