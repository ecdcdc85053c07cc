"""The measure of difference: it must see every difference, and no rounding."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import Model, constant, load, read
from onnxq.passes.parity import EXACT_TOLERANCE, Reference, difference

_ONE = np.float32([1, 2, 4])


@pytest.mark.parametrize(
    ("expected", "found", "size"),
    [
        (_ONE, _ONE, 0),
        (_ONE, np.float32([1, 2, 4.4]), 0.1),
        (_ONE, np.float32([1.4, 2, 4]), 0.1),
        # Below 0.01 the comparison is absolute, at a hundredfold.
        (np.float32([1e-3]), np.float32([2e-3]), 0.1),
        (np.float32([0]), np.float32([1e-7]), 1e-5),
        (np.int64([1]), np.int64([1]), 0),
        (np.array(["a"], object), np.array(["a"], object), 0),
        (np.float32([np.nan, np.inf, 1]), np.float32([np.nan, np.inf, 1.1]), 0.1),
        (np.float32([np.nan]), np.float32([np.nan]), 0),
        (np.zeros((0, 2), "f"), np.zeros((0, 2), "f"), 0),
        (np.ones(2, ml_dtypes.bfloat16), np.ones(2, ml_dtypes.bfloat16), 0),
        ([_ONE, _ONE], [_ONE, _ONE * np.float32(1.1)], 0.1),
        ({"a": _ONE, "b": _ONE}, {"a": _ONE, "b": _ONE * np.float32(1.1)}, 0.1),
        (None, None, 0),
        ([], [], 0),
    ],
)
def test_size(expected: Any, found: Any, size: float) -> None:
    assert difference(expected, found) == pytest.approx(size, rel=1e-4)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (_ONE, _ONE.astype(np.float64)),
        (_ONE, _ONE[:2]),
        (_ONE, _ONE[None]),
        (_ONE, np.float32([1, np.nan, 4])),
        (_ONE, np.float32([1, np.inf, 4])),
        (np.float32([np.inf]), np.float32([-np.inf])),
        (np.float32([np.nan, 1]), np.float32([1, np.nan])),
        (np.int64([1]), np.int64([2])),
        (np.array(["a"], object), np.array(["b"], object)),
        ([_ONE], [_ONE, _ONE]),
        ([_ONE], _ONE),
        ({"a": _ONE}, {"b": _ONE}),
        # The fault stands in the second value: it must not hide behind the first.
        ({"a": _ONE, "b": _ONE}, {"a": _ONE, "b": _ONE * np.nan}),
        (None, _ONE),
    ],
)
def test_what_cannot_be_measured_is_infinite(expected: Any, found: Any) -> None:
    assert difference(expected, found) == float("inf")


def _linear() -> Model:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18]>
      g (float[N, 256] x) => (float[N, 256] y) { t = MatMul(x, w) y = Relu(t) }""")
    weight = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return load(proto)


@pytest.mark.parametrize("size", ["small", "heavy", "many nodes"])
def test_a_reference_sees_every_edit_however_large_the_model(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size == "heavy":
        monkeypatch.setattr("onnxq.engine.fed.HEAVY", 1)
    if size == "many nodes":
        monkeypatch.setattr("onnxq.engine.session._MANY_NODES", 1)
    reference = Reference(_linear(), None)
    assert reference.repeatable
    assert list(reference.feeds[0]) == ["x"]
    assert reference.error(_linear()) == 0
    for factor in (1 + 1e-7, 1.001):
        model = _linear()
        value = read(model.constants[0]) * np.float32(factor)
        model.nodes[0].inputs[1] = constant("v", value)
        assert (reference.error(model) > EXACT_TOLERANCE) == (factor == 1.001)
    broken = _linear()
    broken.nodes[0].op = "NoSuchOperator"
    assert reference.error(broken) == float("inf")
    with pytest.raises(ModelError, match="NoSuchOperator"):
        Reference(broken, None)
