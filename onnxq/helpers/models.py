"""Whatever a helper may be given, as an ONNX model."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

from onnxq.graph import Model, load
from onnxq.workflow import CompressResult, FinetuneResult, QuantizeResult

Result: TypeAlias = QuantizeResult | FinetuneResult | CompressResult
"""What a quantization returns; `result.model` is the model."""


def as_model(given: Any, example_inputs: Any = None) -> Model:
    """A path, bytes, ModelProto, Model, result of a helper, or torch module as a model.

    Args:
        given: The model.
        example_inputs: Of a torch module, which is exported by running it on them.

    Raises:
        ModelError: if it cannot be read, or torch cannot export it.
        UsageError: if a torch module comes without an example.
    """
    held = getattr(given, "model", None)
    if isinstance(held, Model):
        return held
    if is_torch_module(given):
        from onnxq.training.exporting import export_module

        return export_module(given, example_inputs)
    return load(given)


def is_torch_module(given: Any) -> bool:
    """Whether something is a torch module; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.nn.Module)
