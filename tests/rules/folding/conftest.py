"""Small graphs around constant arithmetic: ONNX text for nodes, random constants by shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, shape_inference

from onnxq.rules import Rule
from onnxq.rules.folding.fold_affine import FoldAffine

Constant = tuple[int, ...] | np.ndarray | np.generic
Outcome = Any
Folding = Callable[..., Outcome]


def random_constant(name: str, given: Constant) -> np.ndarray:
    """A given array, or a random one: names that start with p are above 0, variances too."""
    if isinstance(given, np.ndarray | np.generic):
        return np.asarray(given)
    random = np.random.default_rng(sum(map(ord, name)) + sum(given))
    if name.startswith("p"):
        return np.asarray(random.uniform(0.5, 2.0, given), np.float32)
    return np.asarray(random.standard_normal(given), np.float32)


def build(
    body: str,
    inputs: str,
    constants: Mapping[str, Constant],
    *,
    outputs: str = "float y",
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of ONNX text, with node names taken from their results."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) '
    model = onnx.parser.parse_model(head + body)
    for node in model.graph.node:
        node.name = node.name or f"make_{node.output[0]}"
    for name, given in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(random_constant(name, given), name))
    for value in model.graph.output:
        if not value.type.tensor_type.shape.dim:
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
def folding(applying: Callable[..., Outcome]) -> Folding:
    """Apply `FoldAffine`, or another rule, to a small graph; see `build`."""

    def fold(
        body: str,
        inputs: str = "float[2,4,6,6] x",
        *,
        rule: Rule | None = None,
        outputs: str = "float y",
        opset: int = 17,
        runs: bool = True,
        atol: float = 1e-5,
        **constants: Constant,
    ) -> Outcome:
        # Sums of dozens of products of size 1 to 10 end near 0 here and there.
        model = build(body, inputs, constants, outputs=outputs, opset=opset)
        return applying(model, rule or FoldAffine(), runs=runs, atol=atol)

    return fold
