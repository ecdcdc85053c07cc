"""A second model that can be edited apart; the weights are shared, not copied."""

from __future__ import annotations

from collections import Counter

from onnxq.graph.elements import Constant
from onnxq.graph.exporting import ConstantProto
from onnxq.graph.model import Model
from onnxq.graph.types import without_weights
from onnxq.graph.writing import embedded


def copy_model(model: Model) -> Model:
    """A copy of `model` with nodes and tensors of its own, named alike.

    Values of constants are never edited in place, so both models may refer to the same ones.
    """
    shared = unique_constants(model)

    def write(tensor: Constant) -> ConstantProto:
        return without_weights(tensor) if tensor.name in shared else embedded(tensor)

    twin = Model(model.to_proto(write), model.base_directory)
    share_values(twin, shared)
    for mine, other in zip(model.all_nodes, twin.all_nodes, strict=True):
        other.name, other.given_name = mine.name, mine.given_name
    return twin


def unique_constants(model: Model) -> dict[str, Constant]:
    """The constants whose name no other constant bears (bodies may use a name again)."""
    count = Counter(c.name for c in model.constants)
    return {c.name: c for c in model.constants if count[c.name] == 1}


def share_values(model: Model, values: dict[str, Constant]) -> None:
    """Let the constants of a model refer to the values of others of the same name."""
    for tensor in model.constants:
        known = values.get(tensor.name)
        if known is not None:
            tensor.store(known.stored)
