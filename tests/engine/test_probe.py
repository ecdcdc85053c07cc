"""Inputs made up from declared shapes, and inner tensors as outputs."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx.parser import parse_model

from onnxq.engine import InputSpec, made_up_feeds, open_session, runner, with_outputs


def test_shapes_follow_the_declaration_and_free_dimensions_are_one() -> None:
    specs = [InputSpec("x", np.dtype(np.float32), ("N", None, 3, -1))]
    (feed,) = made_up_feeds(specs, 1)
    assert feed["x"].shape == (1, 1, 3, 1)
    (feed,) = made_up_feeds(specs, 1, dimensions={"N": 5})
    assert feed["x"].shape == (5, 1, 3, 1)


@pytest.mark.parametrize(
    "kind", [np.float32, np.float16, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16, object]
)
def test_types_follow_the_declaration(kind: type) -> None:
    (feed,) = made_up_feeds([InputSpec("x", np.dtype(kind), (64,))], 1)
    value = feed["x"]
    assert value.dtype == kind
    if np.dtype(kind).kind in "iub":
        assert set(value.tolist()) == {0, 1}
    elif kind is object:
        assert set(value.tolist()) == {""}
    else:
        assert 0.5 < value.astype(float).std() < 1.5


def test_the_seed_decides_and_samples_differ() -> None:
    specs = [InputSpec("x", np.dtype(np.float32), (8,))]
    one, two = made_up_feeds(specs, 2, seed=3)
    assert not np.array_equal(one["x"], two["x"])
    np.testing.assert_array_equal(made_up_feeds(specs, 1, seed=3)[0]["x"], one["x"])
    assert not np.array_equal(made_up_feeds(specs, 1, seed=4)[0]["x"], one["x"])


def test_inner_tensors_become_outputs_once() -> None:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18]>
      g (float[2] x) => (float[2] y) { t = Relu(x) y = Neg(t) }""")
    watched = with_outputs(proto, ["t", "y", "t"])
    outputs = runner(open_session(watched))({"x": np.float32([-1, 2])})
    assert list(outputs) == ["y", "t"]
    np.testing.assert_array_equal(outputs["t"], [0, 2])
