"""Trained values go back into the model they came from: same graph, same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError
from onnxq.graph import Constant, Model, copy_model, read


def write_back(model: Model, tensors: Mapping[str, NDArray[Any]]) -> Model:
    """A copy of the model that holds other values in some constants.

    Everything else stays: nodes, names, order, metadata. A constant whose value is what it was
    before stays as the file has it, so that without training nothing changes at all.

    Args:
        model: The model, which is not changed.
        tensors: New values by the name of an initializer, or of the output of a Constant node.

    Raises:
        UsageError: if a name is unknown, or a value has another shape or type.
    """
    twin = copy_model(model)
    for name, places in _places(twin, tensors).items():
        value = np.asarray(tensors[name])
        for place in places:
            _check(name, value, place)
            if not _equal(read(place), value):
                place.store(value.copy())
    return twin


def _places(model: Model, wanted: Mapping[str, Any]) -> dict[str, list[Constant]]:
    """The constants of these names."""
    found: dict[str, list[Constant]] = {name: [] for name in wanted}
    for tensor in model.constants:
        if tensor.name in found:
            found[tensor.name].append(tensor)
    for node in model.nodes:
        if node.op == "Constant" and node.standard and node.outputs[0].name in found:
            found[node.outputs[0].name].append(_value(node.attrs, node.outputs[0].name))
    for name, places in found.items():
        if not places:
            raise UsageError(
                f"the model has no constant '{name}' to write to",
                remedy="take the names from the module's tensors_by_name",
            )
    return found


def _value(attributes: dict[str, Any], name: str) -> Constant:
    """The tensor that a Constant node holds."""
    value = attributes.get("value")
    if isinstance(value, Constant):
        return value
    raise UsageError(
        f"the constant '{name}' is no tensor",
        why=f"its node has {', '.join(attributes)}",
        remedy="turn Constant nodes into initializers first (the pass LowerConstants)",
    )


def _check(name: str, value: NDArray[Any], place: Constant) -> None:
    stored = place.stored
    if value.shape != tuple(stored.shape) or value.dtype != stored.dtype:
        raise UsageError(
            f"a value of {value.dtype} {list(value.shape)} cannot be written",
            where=f"constant '{name}'",
            why=f"it is {stored.dtype} {list(stored.shape)} in the model",
            remedy="keep shapes and types while training",
        )


def _equal(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether the bits are the same."""
    return np.ascontiguousarray(before).tobytes() == np.ascontiguousarray(after).tobytes()
