"""Build a program from operations: sort tensors into kinds, compute constants, number the slots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onnxq.errors import ModelError
from onnxq.training.blueprint import Choice, Operation
from onnxq.training.operators import Operator
from onnxq.training.operators.elementwise import identity
from onnxq.training.program import (
    NOWHERE,
    Call,
    Program,
    moved,
    plain,
    plain_if_scalar,
)


class Kind(IntEnum):
    """What a tensor follows from (see `program`)."""

    CONSTANT = 0
    SHAPES = 1
    DATA = 2


class _Form(IntEnum):
    """How a tensor is handed to a function."""

    TENSOR = 0
    IN_MAIN_MEMORY = 1
    PLAIN = 2
    PLAIN_IF_SCALAR = 3


class _Builder:
    def __init__(
        self,
        constants: Mapping[str, Tensor],
        weights: Collection[str],
        given: Sequence[str],
        device: torch.device,
    ) -> None:
        self.constants: dict[str, Any] = dict(constants)
        self.device = device
        self.template: list[Any] = [None]
        self.calls: list[Call] = []
        self.kinds: dict[str, Kind] = dict.fromkeys(constants, Kind.CONSTANT)
        self.kinds.update(dict.fromkeys(weights, Kind.DATA))
        self.kinds.update(dict.fromkeys(given, Kind.DATA))
        self.free: set[str] = set()
        self.slots: dict[tuple[str, _Form], int] = {}
        self.owned = set(weights) - set(given)
        self.used: dict[str, int] = {}

    def new_slot(self, value: Any = None) -> int:
        self.template.append(value)
        return len(self.template) - 1

    def add(self, operation: Operation) -> None:
        if operation.choice is not None and operation.inputs[0] in self.constants:
            self._decide(operation, operation.choice)
            return
        kind = self._kind(operation)
        if kind is Kind.CONSTANT:
            self._compute(operation)
            return
        sources = tuple(
            self._source(operation, index, kind) for index in range(len(operation.inputs))
        )
        targets = []
        for name in operation.outputs:
            targets.append(self.new_slot() if name else NOWHERE)
            if name:
                self.kinds[name] = kind
                self.slots[name, _Form.TENSOR] = targets[-1]
        if kind is Kind.DATA and self._is_free(operation):
            self.free.update(operation.outputs)
        run = operation.run
        local = operation.kind.shape_only or not sources
        if kind is Kind.DATA and self.device.type != "cpu" and (local or operation.kind.host):
            run = partial(_then_moved, run, self.device)
        self.calls.append(Call(run, sources, tuple(targets), kind is Kind.SHAPES))

    def _decide(self, operation: Operation, choice: Choice) -> None:
        """Add the nodes of the branch that a constant condition chooses."""
        branch = choice.chosen(plain(self.constants[operation.inputs[0]]))
        self.constants.update(branch.constants)
        self.kinds.update(dict.fromkeys(branch.constants, Kind.CONSTANT))
        for inner in branch.operations:
            self.add(inner)
        for inside, outside in zip(branch.outputs, operation.outputs, strict=True):
            if outside:
                self.add(
                    Operation(
                        name=operation.name,
                        op="Identity",
                        run=identity,
                        inputs=(inside,),
                        outputs=(outside,),
                        kind=Operator(identity),
                    )
                )

    def _kind(self, operation: Operation) -> Kind:
        if operation.opaque:
            return Kind.DATA
        known = [(name, self._known(name, operation)) for name in operation.inputs if name]
        if not operation.kind.shape_only:
            return max((kind for _, kind in known), default=Kind.CONSTANT)
        if any(name in self.free for name, _ in known):
            return Kind.DATA
        constant = all(kind is Kind.CONSTANT for _, kind in known)
        return Kind.CONSTANT if constant else Kind.SHAPES

    def _known(self, name: str, operation: Operation) -> Kind:
        if name not in self.kinds:
            raise ModelError(
                f"the tensor '{name}' is not at hand",
                where=f"node '{operation.name}' ({operation.op})",
                remedy="give it, or the inputs it is computed from",
            )
        return self.kinds[name]

    def _is_free(self, operation: Operation) -> bool:
        """Whether the shape of the result depends on data."""
        host = (operation.inputs[i] for i in operation.kind.host if i < len(operation.inputs))
        return (
            operation.kind.free_shape
            or any(name in self.free for name in operation.inputs if name)
            or any(name and self.kinds[name] is Kind.DATA for name in host)
        )

    def _compute(self, operation: Operation) -> None:
        """Run an operation whose inputs are all known."""
        arguments = []
        for index, name in enumerate(operation.inputs):
            value = self.constants[name] if name else None
            arguments.append(_formed(value, _form(operation, index, Kind.CONSTANT)))
        with torch.no_grad():
            result = operation.run(*arguments)
        several = result if isinstance(result, tuple) else (result,)
        for name, value in zip(operation.outputs, several, strict=False):
            if name:
                self.constants[name] = value
                self.kinds[name] = Kind.CONSTANT

    def _source(self, operation: Operation, index: int, kind: Kind) -> int:
        name = operation.inputs[index]
        if not name:
            return NOWHERE
        return self.slot(name, _form(operation, index, self.kinds[name]), kind)

    def slot(self, name: str, form: _Form, reader: Kind) -> int:
        """The slot of a tensor in the form that a reader of that kind wants."""
        kind = self.kinds[name]
        if form is _Form.TENSOR and reader is Kind.SHAPES and kind is not Kind.DATA:
            form = _Form.IN_MAIN_MEMORY
        known = self.slots.get((name, form))
        if known is not None and not (kind is Kind.SHAPES and form is _Form.TENSOR):
            return known
        if kind is Kind.CONSTANT:
            value = _formed(self.constants[name], form)
            slot = self.new_slot(moved(value, self.device) if form is _Form.TENSOR else value)
        elif kind is Kind.SHAPES:
            slot = self._shape_slot(name, form)
        elif name in self.owned and form is _Form.TENSOR:
            slot = self.used[name] = self.new_slot()
        else:
            slot = self._converted(self.slot(name, _Form.TENSOR, Kind.DATA), form, Kind.DATA)
        self.slots[name, form] = slot
        return slot

    def _shape_slot(self, name: str, form: _Form) -> int:
        made = self.slots[name, _Form.TENSOR]
        if form is _Form.IN_MAIN_MEMORY or (form is _Form.TENSOR and self.device.type == "cpu"):
            return made
        if form is _Form.TENSOR:
            return self._call(partial(moved, device=self.device), made, Kind.SHAPES)
        return self._converted(made, form, Kind.SHAPES)

    def _converted(self, slot: int, form: _Form, kind: Kind) -> int:
        return self._call(plain if form is _Form.PLAIN else plain_if_scalar, slot, kind)

    def _call(self, run: Callable[..., Any], slot: int, kind: Kind) -> int:
        target = self.new_slot()
        self.calls.append(Call(run, (slot,), (target,), kind is Kind.SHAPES))
        return target


def _then_moved(run: Callable[..., Any], device: torch.device, *arguments: Any) -> Any:
    result = run(*arguments)
    if isinstance(result, tuple):
        return tuple(moved(value, device) for value in result)
    return moved(result, device)


def _form(operation: Operation, index: int, kind: Kind) -> _Form:
    if index in operation.kind.host:
        return _Form.PLAIN
    if index in operation.kind.fixed and kind is not Kind.DATA:
        return _Form.PLAIN_IF_SCALAR
    return _Form.TENSOR


def _formed(value: Any, form: _Form) -> Any:
    if value is None or form in (_Form.TENSOR, _Form.IN_MAIN_MEMORY):
        return value
    return plain(value) if form is _Form.PLAIN else plain_if_scalar(value)


def build(
    operations: Sequence[Operation],
    constants: Mapping[str, Tensor],
    weights: Collection[str],
    given: Sequence[str],
    wanted: Mapping[str, str],
    device: torch.device,
) -> Program:
    """Build a program.

    Args:
        operations: What computes the wanted tensors, in order.
        constants: Values by name, in main memory.
        weights: Names of the tensors that belong to the module.
        given: Names of the tensors that every run is given.
        wanted: Names under which tensors are returned, with the names they are computed under.
        device: Where the data lies.

    Raises:
        ModelError: if a tensor is wanted or read that nothing computes.
    """
    builder = _Builder(constants, weights, given, device)
    feeds = {name: builder.new_slot() for name in given}
    builder.slots.update({(name, _Form.TENSOR): slot for name, slot in feeds.items()})
    for operation in operations:
        builder.add(operation)
    results: dict[str, int] = {}
    for label, name in wanted.items():
        if name not in builder.kinds:
            raise ModelError(
                f"the tensor '{name}' is not computed",
                remedy="ask for the name of an output of some node",
            )
        results[label] = builder.slot(name, _Form.TENSOR, Kind.DATA)
    calls = tuple(builder.calls)
    on_shapes = {slot for call in calls if call.on_shapes for slot in call.targets}
    read = {slot for call in calls if not call.on_shapes for slot in call.sources}
    kept = frozenset(on_shapes & (read | set(results.values()))) - {NOWHERE}
    template = tuple(builder.template)
    return Program(calls, template, builder.used, feeds, results, kept).ready()
