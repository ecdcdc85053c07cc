"""Small graphs between layers, and scaling them by factors drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, shape_inference

from onnxq.graph import load
from onnxq.passes import apply_passes
from onnxq.rules.scaling import SmoothActivations, find_sites


def build(
    body: str, inputs: str = "float[n,4,6,6] x", outputs: str = "float y", **constants: object
) -> onnx.ModelProto:
    """A model of ONNX text; constants are arrays, or shapes of random ones."""
    head = f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => ({outputs}) '
    model = onnx.parser.parse_model(head + body)
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    random = np.random.default_rng(7)
    for name, given in constants.items():
        array = given
        if isinstance(given, tuple):
            array = random.standard_normal(given).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model)
    for mine, found in zip(model.graph.output, inferred.graph.output, strict=True):
        mine.CopyFrom(found)
    return model


@pytest.fixture
def small_model() -> Callable[..., onnx.ModelProto]:
    """Build a small graph; see `build`."""
    return build


@pytest.fixture
def scaled(run_model: Callable[..., object]) -> Callable[..., int]:
    """Scale every site of a model by powers of two; outputs must stay equal to the last bit."""

    def scale(proto: onnx.ModelProto, *, insert: bool = False, seed: int = 0) -> int:
        model = load(proto)
        sites = [site for site in find_sites(model, insert=insert) if site.count]
        random = np.random.default_rng(seed)
        factors = {site.name: 2.0 ** random.integers(-3, 4, site.count) for site in sites}
        expected = run_model(proto, seed=seed)
        (report,) = apply_passes(model, [SmoothActivations(factors)])
        assert not report.refused
        found = run_model(model.to_proto(), seed=seed)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
        return sum(site.count for site in sites)

    return scale
