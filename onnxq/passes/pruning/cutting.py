"""Constants lose the positions of removed channels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.graph import Model, Variable, read
from onnxq.passes.pruning.removal import Removal


def cut_constants(model: Model, removal: Removal) -> dict[str, tuple[int, int]]:
    """Cut every constant that has channels which go.

    Returns:
        Number of elements before and after, by name of the constant.
    """
    axes: dict[str, list[int]] = {}
    for name, axis in removal.grouping.flow.sites:
        axes.setdefault(name, []).append(axis)
    done: dict[str, tuple[int, int]] = {}
    for tensor in model.constants:
        if tensor.overridable:
            continue
        kept = {a: removal.kept_of_site(tensor.name, a) for a in axes.get(tensor.name, ())}
        kept = {a: k for a, k in kept.items() if not k.all()}
        if kept:
            before = read(tensor)
            after = cut(before, kept)
            tensor.store(after)
            done[tensor.name] = before.size, after.size
    return done


def cut(value: NDArray[Any], kept: dict[int, NDArray[np.bool_]]) -> NDArray[Any]:
    """An array without the positions that do not stay."""
    for axis, stays in kept.items():
        value = value.compress(stays, axis)
    return np.ascontiguousarray(value)


def cut_declarations(model: Model, removal: Removal, constants: Collection[str]) -> None:
    """Declared shapes of inner tensors follow; free dimensions stay as they are named.

    Args:
        model: The model.
        removal: What goes.
        constants: Names of the constants that were cut: some files declare these too.
    """
    for tensor in model.variables.values():
        kept = removal.kept(tensor)
        if kept and isinstance(tensor, Variable) and tensor.shape is not None:
            tensor.shape = tuple(
                int(kept[a].sum()) if a in kept else n for a, n in enumerate(tensor.shape)
            )
    if any(value.name in constants for value in model.graph.source.value_info):
        # Copies of the model refer to the same proto.
        own = onnx.GraphProto()
        own.CopyFrom(model.graph.source)
        del own.value_info[:]
        kept_infos = [v for v in model.graph.source.value_info if v.name not in constants]
        own.value_info.extend(kept_infos)
        model.graph.source = own
