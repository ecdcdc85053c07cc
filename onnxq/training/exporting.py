"""From a torch module to ONNX: on the way in only, what is trained here never passes by torch's."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from onnxq.errors import ModelError, UsageError
from onnxq.graph import Model, load

_OPSET = 17


def export_module(module: nn.Module, example_inputs: Any, opset: int = _OPSET) -> Model:
    """Export a module in evaluation mode; its first axis may have any length.

    Args:
        module: The module; its mode is the same afterwards.
        example_inputs: One tensor (or numpy array), a sequence of them in the order of `forward`,
            or a mapping by its parameters' names.
        opset: ONNX's operator set.

    Raises:
        UsageError: if there is no example.
        ModelError: if torch cannot export it.
    """
    arguments, named = _arguments(example_inputs)
    names = [f"input_{i}" for i in range(len(arguments))] + list(named)
    tensors = [*arguments, *named.values()]
    free = {n: {0: "batch"} for n, t in zip(names, tensors, strict=True) if _batched(t)}
    training = module.training
    module.eval()
    try:
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder, warnings.catch_warnings():
            # The exporter that needs nothing but torch announces its successor.
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            torch.onnx.export(
                module,
                (*arguments, dict(named)) if named else tuple(arguments),
                str(path),
                input_names=names,
                output_names=_output_names(module, arguments, named),
                dynamic_axes=free,
                opset_version=opset,
                dynamo=False,
            )
            return load(onnx.load(str(path)))
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
        raise ModelError(
            "torch cannot export the module",
            where=type(module).__name__,
            why=str(error).strip().splitlines()[0] if str(error).strip() else "",
            remedy="export it to ONNX yourself and give the file",
        ) from error
    finally:
        module.train(training)


def _arguments(examples: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if examples is None:
        raise UsageError(
            "a torch module is exported by running it on an example",
            where="example_inputs",
            remedy="give example_inputs, a tensor or a tuple of tensors",
        )
    if isinstance(examples, Mapping):
        return (), {name: torch.as_tensor(value) for name, value in examples.items()}
    values = examples if isinstance(examples, list | tuple) else (examples,)
    return tuple(torch.as_tensor(value) for value in values), {}


def _output_names(
    module: nn.Module, arguments: Sequence[Any], named: Mapping[str, Any]
) -> list[str]:
    with torch.no_grad():
        found = module(*arguments, **named)
    if isinstance(found, Mapping):
        return list(map(str, found))
    count = len(found) if isinstance(found, list | tuple) else 1
    return [f"output_{i}" for i in range(count)]


def _batched(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0
