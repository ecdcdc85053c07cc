"""Reactions of the outputs to weights, beside the Jacobian of a linear network."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

from onnxq import load
from onnxq.errors import PreconditionError
from onnxq.training import output_gradients


def network(body: str, **weights: np.ndarray):
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> g (float[1,3] x) => (float[1,2] y) {{ {body} }}'
    )
    for name, value in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return load(model)


def test_a_product_reacts_as_its_jacobian_says():
    """∂y_k/∂W_ik = x_i, so the mean square over random unit v of two entries is x_i² / 2."""
    generator = np.random.default_rng(0)
    rows = [generator.standard_normal((1, 3)).astype(np.float32) for _ in range(4)] * 500
    model = network("y = MatMul(x, W)", W=generator.standard_normal((3, 2)))
    found = output_gradients(model, [{"x": row} for row in rows])["W"]
    expected = np.sqrt(np.mean([np.square(row[0]) for row in rows], axis=0) / 2)
    np.testing.assert_allclose(found, np.stack([expected, expected], 1), rtol=0.1)


def test_it_is_repeatable_and_knows_dead_weights():
    generator = np.random.default_rng(1)
    weight = generator.standard_normal((3, 2))
    model = network("h = MatMul(x, W) d = MatMul(x, V) y = Relu(h)", W=weight, V=weight)
    feeds = [{"x": np.float32([[1.0, -1.0, 2.0]])}]
    first, second = (output_gradients(model, feeds, seed=3) for _ in range(2))
    assert set(first) == {"W"}
    np.testing.assert_array_equal(first["W"], second["W"])


def test_no_weight_to_judge_by_is_an_error():
    model = network("y = MatMul(x, W)", W=np.ones((3, 2)))
    constant = network("s = Shape(x) z = Cast<to=1>(s) y = Identity(z)")
    assert output_gradients(model, [{"x": np.ones((1, 3), np.float32)}])
    with pytest.raises(PreconditionError, match="no output that its weights can be judged by"):
        output_gradients(constant, [{"x": np.ones((1, 3), np.float32)}])
