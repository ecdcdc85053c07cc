"""A model as torch will run it: operations in order, by tensor names; no weights that train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from onnxq.training.operators import Operator


@dataclass(frozen=True)
class Operation:
    """One node.

    Attributes:
        name: The node's name.
        op: Its operator.
        run: The function of its inputs; the attributes are bound.
        inputs: Names of the inputs; empty for a missing one.
        outputs: Names of the outputs; empty for one that nobody wants.
        kind: How the function wants to be called.
        attributes: The attributes bound.
        opaque: Whether the result counts as data whatever it is computed from.
        choice: The branches, where the node is an If.
    """

    name: str
    op: str
    run: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: Operator
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opaque: bool = False
    choice: Choice | None = None


@dataclass(frozen=True)
class Blueprint:
    """A model, or a branch of it. Never changed, so copies of a module share it.

    Attributes:
        inputs: Names of the tensors it is given.
        outputs: Names of those it returns.
        operations: The nodes, each after those it reads from.
        constants: Values that do not train, by name, in main memory.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Tensor]

    def __deepcopy__(self, memo: dict[int, Any]) -> Blueprint:
        return self


@dataclass(frozen=True)
class Choice:
    """The two branches of an If.

    Attributes:
        then: The branch for true; its inputs are the tensors it reads from around it.
        otherwise: The branch for false.
        captured: Names of the tensors that one of them reads, as the node is given them.
    """

    then: Blueprint
    otherwise: Blueprint
    captured: tuple[str, ...]

    def chosen(self, condition: Any) -> Blueprint:
        """The branch of a condition: a truth value, alone or in a list."""
        while isinstance(condition, list):
            condition = condition[0]
        return self.then if condition else self.otherwise


def needed_operations(
    operations: Sequence[Operation], given: Sequence[str], wanted: Sequence[str]
) -> list[Operation]:
    """Those that the wanted tensors depend on, up to the given ones."""
    asked = set(wanted)
    known = set(given)
    kept: list[Operation] = []
    for operation in reversed(operations):
        if any(name in asked and name not in known for name in operation.outputs if name):
            kept.append(operation)
            asked.update(operation.inputs)
    return kept[::-1]
