"""A blueprint made ready to run: a flat list of calls on numbered slots.

Every tensor is of one of three kinds:

1. constant: it follows from constants alone, and is computed when the program is built;
2. of shapes: it follows from the shapes of the inputs alone (what Shape gives, and arithmetic on
   it, and masks made of it); it is computed in main memory, once for each set of input shapes;
3. data: all else; weights are data.

So a program that was specialised for the shapes of its inputs computes data only, and takes
shapes, axes and bounds as plain Python numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Instruction = tuple[Callable[..., Any], tuple[int, ...], int | tuple[int, ...], tuple[int, ...]]
"""What to call, the slots to read, the slot or slots to write, and those to empty afterwards."""

NOWHERE = 0
"""The slot that always holds None: missing inputs are read from it."""


@dataclass(frozen=True)
class Call:
    """One call, before it is known which slots can be emptied.

    Attributes:
        run: The function.
        sources: Slots of its arguments.
        targets: Slots of its results; NOWHERE for those that nobody reads.
        on_shapes: Whether it depends on shapes alone.
    """

    run: Callable[..., Any]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    on_shapes: bool


@dataclass(frozen=True)
class Program:
    """Calls in order, and the slots they begin with.

    Attributes:
        calls: What is done.
        template: The slots before the first call: constants, and None.
        weights: Slots of the tensors that belong to the module, by their name.
        feeds: Slots of the tensors given, by their name.
        results: Slots of the tensors returned, by their name.
        kept: Slots of what depends on shapes alone and is read by what does not.
        instructions: The calls as they are run.
    """

    calls: tuple[Call, ...]
    template: tuple[Any, ...]
    weights: Mapping[str, int]
    feeds: Mapping[str, int]
    results: Mapping[str, int]
    kept: frozenset[int]
    instructions: tuple[Instruction, ...] = ()

    @property
    def depends_on_shapes(self) -> bool:
        """Whether specialising it leaves less to do."""
        return any(call.on_shapes for call in self.calls)

    def begin(self, feeds: Mapping[str, Any], weights: Mapping[str, Tensor]) -> list[Any]:
        """The slots before the first call."""
        values = list(self.template)
        for name, slot in self.weights.items():
            values[slot] = weights[name]
        for name, slot in self.feeds.items():
            values[slot] = feeds[name]
        return values

    def specialised(self, values: Sequence[Any]) -> Program:
        """The program for the shapes of a run, of which `values` are the slots at its end."""
        template = list(self.template)
        for slot in self.kept:
            template[slot] = values[slot]
        calls = tuple(call for call in self.calls if not call.on_shapes)
        special = replace(self, calls=calls, template=tuple(template), kept=frozenset())
        return special.ready()

    def ready(self) -> Program:
        """The program with its instructions: every slot is emptied after its last use."""
        lasting = {*self.results.values(), *self.kept, NOWHERE}
        last: dict[int, int] = {}
        produced: set[int] = set(self.feeds.values())
        for index, call in enumerate(self.calls):
            produced.update(call.targets)
            for slot in (*call.sources, *call.targets):
                last[slot] = index
        dead: dict[int, list[int]] = {}
        for slot, index in last.items():
            if slot in produced and slot not in lasting:
                dead.setdefault(index, []).append(slot)
        instructions = tuple(
            (
                call.run,
                call.sources,
                call.targets[0] if len(call.targets) == 1 else call.targets,
                tuple(dead.get(index, ())),
            )
            for index, call in enumerate(self.calls)
        )
        return replace(self, instructions=instructions)


def execute(instructions: Sequence[Instruction], values: list[Any]) -> None:
    """Run the instructions on the slots."""
    for run, sources, target, dead in instructions:
        result = run(*[values[slot] for slot in sources])
        if isinstance(target, int):
            values[target] = result[0] if isinstance(result, tuple) else result
        else:
            several = result if isinstance(result, tuple) else (result,)
            for slot, value in zip(target, several, strict=False):
                values[slot] = value
            values[NOWHERE] = None
        for slot in dead:
            values[slot] = None


def plain(tensor: Tensor) -> Any:
    """The value as Python numbers: a number for a scalar, else a list."""
    return tensor.tolist()


def plain_if_scalar(tensor: Tensor) -> Any:
    """A scalar as a Python number; any other tensor as it is."""
    return tensor.item() if isinstance(tensor, Tensor) and tensor.dim() == 0 else tensor


def moved(value: Any, device: torch.device) -> Any:
    """A tensor on the device; a list with its tensors there."""
    if isinstance(value, Tensor):
        return value.to(device)
    return [moved(v, device) for v in value] if isinstance(value, list) else value
