"""What is put between a tensor and those that read it, such as fake quantization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from onnxq.training.blueprint import Operation
from onnxq.training.operators import Operator


@dataclass(frozen=True)
class Transform:
    """A module that a tensor's value passes through before it is read.

    Attributes:
        tensor: Name of the tensor: an input, an initializer or the output of a node. Where batch
            normalisation is folded, the name of a weight stands for the folded weight.
        module: Takes the value, and returns one of the same shape. It is called once in a run,
            however many read the result; one that two transforms share is called for each.
        readers: Names of the nodes that read the result; None for all.
        output: Whether the model returns the result too, where the tensor is an output of it.
    """

    tensor: str
    module: nn.Module
    readers: frozenset[str] | None = None
    output: bool = False


def insert_transforms(
    operations: Sequence[Operation],
    transforms: Sequence[Transform],
    aliases: Mapping[str, str],
) -> list[Operation]:
    """The operations, of which those concerned read the transformed tensors.

    Args:
        operations: The nodes in order.
        transforms: What to insert. Where two concern the same reader, the first counts.
        aliases: By the name of a tensor, the name under which transforms know it.
    """
    by_tensor: dict[str, list[tuple[int, Transform]]] = {}
    for index, transform in enumerate(transforms):
        by_tensor.setdefault(transform.tensor, []).append((index, transform))
    made: set[str] = set()
    result: list[Operation] = []
    for operation in operations:
        inputs = list(operation.inputs)
        for position, name in enumerate(inputs):
            known = aliases.get(name, name)
            for index, transform in by_tensor.get(known, ()):
                if _reads(operation, transform) and not _folds(operation, name, aliases):
                    inputs[position] = transformed_name(index, name)
                    if inputs[position] not in made:
                        made.add(inputs[position])
                        result.append(_operation(index, transform, name))
                    break
        result.append(replace(operation, inputs=tuple(inputs)))
    result.extend(
        _operation(index, transform, transform.tensor)
        for index, transform in enumerate(transforms)
        if transform.output and transformed_name(index, transform.tensor) not in made
    )
    return result


def returned_names(outputs: Sequence[str], transforms: Sequence[Transform]) -> dict[str, str]:
    """By output of the model, the name of the tensor to return for it."""
    found = {name: name for name in outputs}
    for index, transform in enumerate(transforms):
        if transform.output and transform.tensor in found:
            found[transform.tensor] = transformed_name(index, transform.tensor)
    return found


def transformed_name(index: int, tensor: str) -> str:
    """The name of what a transform makes of a tensor."""
    return f"{tensor}\n{index}"


def _reads(operation: Operation, transform: Transform) -> bool:
    return transform.readers is None or operation.name in transform.readers


def _folds(operation: Operation, name: str, aliases: Mapping[str, str]) -> bool:
    """Whether the operation makes the folded weight from this one."""
    return any(aliases.get(output) == name for output in operation.outputs)


def _operation(index: int, transform: Transform, tensor: str) -> Operation:
    return Operation(
        name=f"transform of '{tensor}'",
        op=type(transform.module).__name__,
        run=transform.module,
        inputs=(tensor,),
        outputs=(transformed_name(index, tensor),),
        kind=Operator(transform.module),
        opaque=True,
    )
