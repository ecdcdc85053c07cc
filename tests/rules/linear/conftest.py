"""Models of linear layers: a body as ONNX text, and constants by shape or value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

Network = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="session")
def network() -> Network:
    """Build a model; a constant given as a tuple is a random float32 array of that shape."""

    def build(signature: str, body: str, *, opset: int = 18, **constants: Any) -> onnx.ModelProto:
        head = f'<ir_version: 9, opset_import: ["": {opset}]>'
        proto = parse_model(f"{head} g {signature} {{ {body} }}")
        generator = np.random.default_rng(0)
        for name, given in constants.items():
            value = given
            if isinstance(given, tuple):
                value = generator.standard_normal(given).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return proto

    return build
