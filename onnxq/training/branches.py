"""If at run time: a program of its own for the branch that a condition chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from onnxq.training.blueprint import Blueprint, Choice
from onnxq.training.building import build
from onnxq.training.program import Program, execute


@dataclass(frozen=True)
class RunChoice:
    """An If as a function of its condition and of all that its branches read.

    Attributes:
        choice: The branches.
    """

    choice: Choice
    _programs: dict[Any, Program] = field(default_factory=dict, compare=False, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> RunChoice:
        return self

    def __call__(self, condition: Any, *values: Any) -> tuple[Any, ...]:
        """The outputs of the branch; the values are those captured, in order."""
        branch = self.choice.chosen(condition)
        named = dict(zip(self.choice.captured, values, strict=True))
        program = self._program(branch, values)
        slots = program.begin({name: named[name] for name in branch.inputs}, {})
        execute(program.instructions, slots)
        return tuple(slots[program.results[name]] for name in branch.outputs)

    def _program(self, branch: Blueprint, values: tuple[Any, ...]) -> Program:
        found = (v.device for v in values if isinstance(v, Tensor))
        device = next(found, torch.device("cpu"))
        key = (branch is self.choice.then, device)
        if key not in self._programs:
            outputs = dict(zip(branch.outputs, branch.outputs, strict=True))
            self._programs[key] = build(
                branch.operations, branch.constants, (), branch.inputs, outputs, device
            )
        return self._programs[key]
