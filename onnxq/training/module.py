"""The imported model: a torch module whose parameters are the model's initializers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onnxq.errors import UsageError
from onnxq.training.batch_norm import BatchNormMode, rewrite_batch_norms
from onnxq.training.blueprint import Blueprint, Operation, needed_operations
from onnxq.training.building import build
from onnxq.training.operators.compiling import in_eager_mode
from onnxq.training.program import Program, execute
from onnxq.training.transforms import Transform, insert_transforms, returned_names

_Kind = tuple[tuple[str, ...], tuple[str, ...] | None, torch.device, bool]
"""What a program is built for: names given, names wanted, the device, whether to train."""

_Shapes = tuple[Any, ...]
"""The same, and the shapes of the inputs."""

_MOST_SHAPES = 64
"""Sets of input shapes for which programs are remembered."""


def quoted(name: str) -> str:
    """The name under which a module may register a tensor: torch allows no dots in it."""
    key = name.replace("%", "%25").replace(".", "%2E")
    return f"%{ord(key[0]):02X}{key[1:]}" if hasattr(nn.Module(), key) else key


class Weights(nn.Module):
    """Tensors by their names in the ONNX file, which may hold dots and slashes."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._keys = {name: quoted(name) for name in tensors}
        for name, tensor in tensors.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(quoted(name), tensor)
            else:
                self.register_buffer(quoted(name), tensor)

    def by_name(self) -> dict[str, Tensor]:
        """The tensors by their names in the ONNX file."""
        held: dict[str, Tensor | None] = {**self._parameters, **self._buffers}
        return {name: value for name, key in self._keys.items() if (value := held[key]) is not None}


@dataclass(frozen=True)
class _Place:
    """Where a transform stands."""

    tensor: str
    readers: frozenset[str] | None
    output: bool


class TorchModel(nn.Module):
    """An ONNX model that torch runs, node by node.

    Attributes:
        blueprint: The nodes and the constants.
        weights: The initializers that can train.
        statistics: Running means and variances of batch normalisations.
        inserted: The modules of the transforms.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        parameters: Mapping[str, nn.Parameter],
        statistics: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.weights = Weights(parameters)
        self.statistics = Weights(statistics)
        self.inserted = nn.ModuleList()
        self._transforms: tuple[_Place, ...] = ()
        self._batch_norm = BatchNormMode.FROZEN
        self._programs: dict[Any, Program] = {}

    @property
    def parameters_by_name(self) -> Mapping[str, nn.Parameter]:
        """The parameters by the names of the initializers (or Constant nodes' outputs)."""
        held = self.weights.by_name().items()
        return {name: tensor for name, tensor in held if isinstance(tensor, nn.Parameter)}

    @property
    def tensors_by_name(self) -> Mapping[str, Tensor]:
        """What training may change, to be written back: parameters and running statistics."""
        return {**self.weights.by_name(), **self.statistics.by_name()}

    @property
    def batch_norm(self) -> BatchNormMode:
        """What is done with batch normalisation; frozen by default."""
        return self._batch_norm

    @batch_norm.setter
    def batch_norm(self, mode: BatchNormMode) -> None:
        self._batch_norm = mode
        self.forget_programs()

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What tensors pass through before they are read."""
        return tuple(
            Transform(place.tensor, module, place.readers, place.output)
            for place, module in zip(self._transforms, self.inserted, strict=True)
        )

    @transforms.setter
    def transforms(self, transforms: Sequence[Transform]) -> None:
        known = self.tensor_names
        for transform in transforms:
            if transform.tensor not in known:
                raise UsageError(
                    f"the model has no tensor '{transform.tensor}' to be transformed",
                    remedy="name an input, an initializer or the output of a node",
                )
        self.inserted = nn.ModuleList(t.module for t in transforms)
        self._transforms = tuple(_Place(t.tensor, t.readers, t.output) for t in transforms)
        self.forget_programs()

    @property
    def tensor_names(self) -> frozenset[str]:
        """Names of all inputs, weights, constants and results of nodes."""
        made = (name for o in self.blueprint.operations for name in o.outputs if name)
        given = (*self.blueprint.inputs, *self.blueprint.constants, *self.tensors_by_name)
        return frozenset((*made, *given))

    def forward(
        self,
        feeds: Mapping[str, Tensor] | None = None,
        /,
        *,
        wanted: Sequence[str] | None = None,
        **named: Tensor,
    ) -> dict[str, Tensor]:
        """Run the model.

        Args:
            feeds: The inputs by name. An inner tensor may be given too: what it is computed
                from is then not run.
            wanted: Names of the tensors to return, inner ones too, as they are before any
                transform; by default the outputs of the model.
            named: Inputs by keyword, where their names allow it.

        Returns:
            The tensors wanted, by name.

        Raises:
            UsageError: if an input is missing.
            ModelError: if a tensor is wanted that the model does not compute.
        """
        given = {**feeds, **named} if feeds else named
        names = tuple(wanted) if wanted is not None else None
        device = next(iter(given.values())).device if given else torch.device("cpu")
        kind = (tuple(given), names, device, self.training)
        program = self._programs.get(kind) or self._built(kind)
        if program.depends_on_shapes:
            shapes = (*kind, tuple([tuple(value.shape) for value in given.values()]))
            special = self._programs.get(shapes)
            if special is None:
                return self._first_run(program, given, shapes)
            program = special
        values = program.begin(given, self.tensors_by_name)
        execute(program.instructions, values)
        return {name: values[slot] for name, slot in program.results.items()}

    @in_eager_mode
    def _first_run(
        self, program: Program, given: Mapping[str, Tensor], shapes: _Shapes
    ) -> dict[str, Tensor]:
        """Run on inputs of new shapes, and remember what follows from these."""
        values = program.begin(given, self.tensors_by_name)
        execute(program.instructions, values)
        special = [key for key in self._programs if len(key) == len(shapes)]
        if len(special) >= _MOST_SHAPES:
            del self._programs[special[0]]
        self._programs[shapes] = program.specialised(values)
        return {name: values[slot] for name, slot in program.results.items()}

    @in_eager_mode
    def _built(self, kind: _Kind) -> Program:
        given, names, device, training = kind
        transforms = self.transforms
        outputs = self.blueprint.outputs
        returned = returned_names(outputs, transforms) if names is None else dict.fromkeys(names)
        wanted = {name: known or name for name, known in returned.items()}
        every = needed_operations(self.blueprint.operations, given, tuple(wanted))
        self._refuse_missing(every, given)
        operations, aliases = rewrite_batch_norms(
            every, self._batch_norm, self.statistics.by_name(), wanted, training=training
        )
        operations = insert_transforms(operations, transforms, aliases)
        owned, constants = self.tensors_by_name, self.blueprint.constants
        needed = needed_operations(operations, given, tuple(wanted.values()))
        program = build(needed, constants, owned, given, wanted, device)
        self._programs[kind] = program
        return program

    def _refuse_missing(self, operations: Sequence[Operation], given: Sequence[str]) -> None:
        read = {name for operation in operations for name in operation.inputs}
        missing = [n for n in self.blueprint.inputs if n in read and n not in given]
        if missing:
            raise UsageError(
                f"the input '{missing[0]}' is not given",
                why="the model reads " + ", ".join(f"'{n}'" for n in self.blueprint.inputs),
                remedy="give every input by its name",
            )

    def forget_programs(self) -> None:
        """Build programs afresh, after what is run was changed."""
        self._programs = {}

    def __getstate__(self) -> dict[str, Any]:
        # Programs refer to this module's own parts; a copy builds those of its own.
        return {**self.__dict__, "_programs": {}}
