"""ONNX to torch: every node becomes one operation."""

from __future__ import annotations

import os

from torch import nn

from onnxq.errors import PreconditionError
from onnxq.graph import Model, convert_opset, copy_model, load, read
from onnxq.passes import FreezeDefaults, InlineFunctions, LowerConstants, apply_passes
from onnxq.training.module import TorchModel
from onnxq.training.obstacles import refuse_unsupported
from onnxq.training.operators import tensor_of
from onnxq.training.translation import blueprint_of
from onnxq.training.weights import running_statistics, trained_constants

_OLDEST = 7
"""The operator set from which on operators broadcast as numpy does; older ones are converted."""


def to_torch(model: Model | str | os.PathLike[str]) -> TorchModel:
    """Import a model into torch, node by node.

    Weights that train are copied, all other constants share the memory of the model.

    Args:
        model: The model, which is not changed, or the path of its file.

    Returns:
        A module whose `parameters_by_name` are the model's initializers.

    Raises:
        PreconditionError: if some operators are not supported; all are listed.
    """
    own = copy_model(model) if isinstance(model, Model) else load(model)
    _raise_opset(own)
    apply_passes(own, [InlineFunctions(), FreezeDefaults(), LowerConstants()])
    refuse_unsupported(own)
    statistics = running_statistics(own)
    trained = {n: c for n, c in trained_constants(own).items() if n not in statistics}
    parameters = {name: nn.Parameter(tensor_of(read(c)).clone()) for name, c in trained.items()}
    buffers = {name: tensor_of(read(c)).clone() for name, c in statistics.items()}
    blueprint = blueprint_of(own, {*parameters, *buffers})
    return TorchModel(blueprint, parameters, buffers)


def _raise_opset(model: Model) -> None:
    """Convert what is older than the operators in the tables."""
    uses_onnx = any(node.standard for node in model.all_nodes)
    if not uses_onnx or model.opset >= _OLDEST:
        return
    try:
        convert_opset(model, _OLDEST)
    except PreconditionError as error:
        raise PreconditionError(
            f"the model is of operator set {model.opset}, {_OLDEST} is needed",
            where=model.graph.name or "",
            why=str(error),
            remedy="export it with a newer operator set",
        ) from error
