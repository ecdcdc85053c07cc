"""Removing channels: every constant, attribute, shape and declaration follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.coupling import Cut, Shapes, channel_groups, find_shapes
from onnxq.errors import PreconditionError
from onnxq.graph import Model, constant, replace_uses, sort
from onnxq.passes.events import Applied, Event
from onnxq.passes.lower_constants import LowerConstants
from onnxq.passes.pruning.adjusting import SHAPE_OPERANDS, adjust
from onnxq.passes.pruning.cutting import cut_constants, cut_declarations
from onnxq.passes.pruning.folding import find_gains, fold
from onnxq.passes.pruning.predicting import Prediction
from onnxq.passes.pruning.removal import Removal


@dataclass(frozen=True)
class PruneFilters:
    """Remove channels from a model, which then computes what `MaskFilters` makes it compute.

    Constant nodes become initializers. Constants keep their names.

    Attributes:
        removed: Numbers of the channels, by the name of their group.
        cut: Which way tensors with several axes of channels are cut; as the groups were found.

    Raises:
        UsageError: on `apply`, if a group or channel is unknown, or all of a group would go.
        PreconditionError: on `apply`, if a node computes with the number of channels in a way
            that cannot be followed; the model is then left half edited.
    """

    removed: Mapping[str, Sequence[int]]
    cut: Cut = Cut.INNER
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        tuple(LowerConstants().apply(model))
        removal = Removal(channel_groups(model, self.cut), self.removed)
        if not removal.gone.any():
            return
        gains = find_gains(model, removal)
        prediction = Prediction(model, removal)
        _pin(model, prediction)
        sizes = cut_constants(model, removal)
        for node in list(model.nodes):
            adjust(model, node, removal, prediction)
        for gain in gains:
            fold(model, gain)
            yield Applied(gain.node.name, "took over what removed channels would have brought")
        cut_declarations(model, removal, sizes)
        sort(model.graph)
        _check(model, removal)
        for name, channels in self.removed.items():
            if len(channels):
                yield Applied(name, f"lost {len(set(channels))} channels")
        for name, (before, after) in sizes.items():
            yield Applied(name, f"was cut from {before} to {after} elements")


def _pin(model: Model, prediction: Prediction) -> None:
    """What is computed from the number of channels, and is no shape, keeps its value.

    An attention's scale from the width of its heads is one: the masked model has the old one.
    """
    other: Shapes | None = None
    for node in model.nodes:
        shapes = SHAPE_OPERANDS.get(node.op, frozenset()) if node.standard else frozenset()
        known = bool(node.outputs) and node.outputs[0].name in prediction.after
        for index, tensor in enumerate(node.inputs):
            if known or index in shapes or not prediction.changed(tensor):
                continue
            other = other or find_shapes(model, first_choice=1)
            before, again = prediction.before[tensor.name], other.values.get(tensor.name)
            if again is None or not np.array_equal(before, again):
                raise PreconditionError(
                    "channels cannot be removed here",
                    where=f"node '{node.name}' ({node.op})",
                    why=f"it computes with '{tensor.name}', which depends on how many there are",
                    remedy="leave this group out",
                )
            value = constant(model.new_name(f"{tensor.name}_pinned"), before)
            replace_uses(tensor, value, [node])


def _check(model: Model, removal: Removal) -> None:
    """The shapes that are left must be those that were meant.

    Raises:
        PreconditionError: if they are not.
    """
    found = find_shapes(model, sizes=removal.grouping.flow.shapes.sizes)
    for node in model.nodes:
        for tensor in node.outputs:
            wanted, shape = removal.shape(tensor), found.shape(tensor)
            if wanted is not None and 0 in wanted and removal.kept(tensor):
                raise PreconditionError(
                    f"nothing would be left of '{tensor.name}'",
                    where=f"node '{node.name}' ({node.op})",
                    remedy="leave one of its channels",
                )
            if tensor.name and wanted is not None and shape is not None and wanted != shape:
                raise PreconditionError(
                    f"'{tensor.name}' would have the shape {list(shape)}, not {list(wanted)}",
                    where=f"node '{node.name}' ({node.op})",
                    remedy="leave this group out",
                )
