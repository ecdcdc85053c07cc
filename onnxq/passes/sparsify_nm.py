"""Give layers weights that follow an N:M pattern, and write down that they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import (
    Constant,
    Model,
    Node,
    constant,
    is_output,
    promise_sparsity,
    read,
    set_input,
    sparse_layers,
)
from onnxq.passes.events import Applied, Event
from onnxq.plan import Use
from onnxq.quant import Pattern


@dataclass(frozen=True, eq=False)
class SparsifyNM:
    """Replace weights by sparse ones of the same shape, decided beforehand.

    Layers that share a constant and get the same new weight share that too; whoever else reads
    the old one keeps it.

    Attributes:
        weights: The new weight of each use.
        pattern: What all of them follow.
    """

    weights: Mapping[Use, NDArray[Any]]
    pattern: Pattern
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model and its metadata."""
        nodes = {node.name: node for node in model.nodes}
        groups: dict[tuple[int, int], list[Use]] = {}
        for use, value in self.weights.items():
            groups.setdefault((id(_weight(nodes, use)), id(value)), []).append(use)
        for uses in groups.values():
            old, value = _weight(nodes, uses[0]), self.weights[uses[0]]
            new = _replaced(model, old, value, [nodes[use.node] for use in uses])
            for use in uses:
                set_input(nodes[use.node], use.index, new)
                yield _event(nodes[use.node], new, self.pattern)
        promises = {use.node: self.pattern for use in self.weights}
        promise_sparsity(model, {**sparse_layers(model), **promises})


def _weight(nodes: Mapping[str, Node], use: Use) -> Constant:
    tensor = nodes[use.node].inputs[use.index]
    assert isinstance(tensor, Constant), f"{use} reads {tensor.name}, which is no constant"
    return tensor


def _replaced(
    model: Model, old: Constant, value: NDArray[Any], readers: Sequence[Node]
) -> Constant:
    """The constant with the new value: the old one itself where nobody else reads it."""
    new = np.asarray(value, old.stored.dtype).reshape(old.stored.shape)
    known = {id(node) for node in readers}
    if all(id(node) in known for node in old.outputs) and not is_output(model, old):
        old.store(new)
        return old
    return constant(model.new_name(f"{old.name}_sparse"), new)


def _event(node: Node, weight: Constant, pattern: Pattern) -> Applied:
    zeros = 1.0 - np.count_nonzero(read(weight)) / max(weight.size, 1)
    return Applied(node.name, f"its weight follows {pattern}: {zeros:.1%} are zero")
