"""Values of constant expressions: computed by the engine, in portions of bounded size.

Large constants that are only arranged anew are not copied into a model for the engine: numpy
does it where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Optimization, open_session, output_specs, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, Node, Tensor, TensorType, bound_constant, extract, read

ARRANGING = frozenset(["Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"])
"""Operators that leave the values of their first input as they are."""

_LARGE = 1 << 20
_PORTION = 1 << 28
"""Bytes of constants that the engine is given at a time."""


def evaluate(
    model: Model,
    nodes: Sequence[Node],
    results: Sequence[Tensor],
    types: Mapping[str, TensorType],
) -> Mapping[str, NDArray[Any]]:
    """Values of `results` by name; those that the engine cannot compute are left out.

    Args:
        model: The model.
        nodes: Nodes that depend on constants alone, in topological order.
        results: What to compute.
        types: Element types and shapes, as far as they are known.
    """
    arranged = _arranged(nodes, types)
    values = {t.name: arranged[id(t)] for t in results if id(t) in arranged}
    left = [t for t in results if id(t) not in arranged]
    for portion in _portions(nodes, left):
        values.update(_computed(model, _needed_for(portion, nodes), portion))
    return values


def _arranged(nodes: Sequence[Node], types: Mapping[str, TensorType]) -> dict[int, NDArray[Any]]:
    """Large constants arranged anew, by the identity of the tensor."""
    found: dict[int, NDArray[Any]] = {}
    for node in nodes:
        if node.op not in ARRANGING:
            continue
        source = bound_constant(node.inputs[0])
        known = source is not None and source.stored.nbytes >= _LARGE
        value = read(source) if source is not None and known else found.get(id(node.inputs[0]))
        shape = types.get(node.outputs[0].name, (None, None))[1]
        if value is None or shape is None or value.dtype == object:
            continue
        if node.op == "Transpose":
            moved = value.transpose(node.attrs.get("perm"))
            found[id(node.outputs[0])] = np.ascontiguousarray(moved)
        elif all(isinstance(d, int) for d in shape):
            found[id(node.outputs[0])] = value.reshape([int(d or 0) for d in shape])
    return found


def _portions(nodes: Sequence[Node], results: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The results in groups that need no more constants than a portion."""
    behind: dict[int, int] = {}
    for node in nodes:
        size = sum(behind.get(id(t), 0) + _stored_bytes(t) for t in node.inputs)
        behind.update((id(t), size) for t in node.outputs)
    portion: list[Tensor] = []
    taken = 0
    for tensor in results:
        if portion and taken + behind[id(tensor)] > _PORTION:
            yield portion
            portion, taken = [], 0
        portion.append(tensor)
        taken += behind[id(tensor)]
    if portion:
        yield portion


def _stored_bytes(tensor: Tensor) -> int:
    fixed = bound_constant(tensor)
    return 0 if fixed is None else fixed.stored.nbytes


def _computed(
    model: Model, nodes: Sequence[Node], results: Sequence[Tensor]
) -> Mapping[str, NDArray[Any]]:
    """Values by name: all in one run, or half by half where that fails."""
    try:
        return _run(model, nodes, results)
    except ModelError:
        if len(results) == 1:
            return {}
    values: dict[str, NDArray[Any]] = {}
    middle = len(results) // 2
    for half in (results[:middle], results[middle:]):
        values.update(_computed(model, _needed_for(half, nodes), half))
    return values


def _run(
    model: Model, nodes: Sequence[Node], results: Sequence[Tensor]
) -> Mapping[str, NDArray[Any]]:
    part = extract(model, nodes, results)
    session = open_session(part, threads=1, optimization=Optimization.NONE)
    types = {spec.name: spec.dtype for spec in output_specs(session)}
    values = runner(session, list(types))({})
    # The engine hands out some narrow types in the guise of others (float8 as bytes).
    return {name: v for name, v in values.items() if v.dtype == types[name]}


def _needed_for(tensors: Sequence[Tensor], nodes: Sequence[Node]) -> list[Node]:
    wanted = {id(tensor) for tensor in tensors}
    needed: list[Node] = []
    for node in reversed(nodes):
        if any(id(t) in wanted for t in node.outputs):
            needed.append(node)
            wanted.update(id(t) for t in node.inputs)
    return needed[::-1]
