"""Masking channels: the graph stays, and the channels become zero where they are computed.

This is what pruning is measured by: the pruned graph computes what the masked one computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Cut, channel_groups
from onnxq.graph import Model, read
from onnxq.passes.events import Applied, Event
from onnxq.passes.lower_constants import LowerConstants
from onnxq.passes.pruning.removal import Removal


@dataclass(frozen=True)
class MaskFilters:
    """Set the slices that compute channels, and their biases and norm parameters, to zero.

    Constant nodes become initializers.

    Attributes:
        removed: Numbers of the channels, by the name of their group.
        cut: Which way tensors with several axes of channels are cut; as the groups were found.

    Raises:
        UsageError: on `apply`, if a group or channel is unknown, or all of a group would go.
    """

    removed: Mapping[str, Sequence[int]]
    cut: Cut = Cut.INNER
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        tuple(LowerConstants().apply(model))
        removal = Removal(channel_groups(model, self.cut), self.removed)
        constants = {c.name: c for c in model.constants}
        flow = removal.grouping.flow
        done: set[tuple[str, int]] = set()
        for use in flow.uses:
            site = (use.constant, use.axis)
            if not use.masked or site in done:
                continue
            done.add(site)
            kept = removal.kept_of_site(*site)
            if kept.all():
                continue
            tensor = constants[use.constant]
            value = read(tensor).copy()
            zero = read(constants[use.zero_point]) if use.zero_point else np.zeros(())
            place = (slice(None),) * use.axis + (~kept,)
            value[place] = _zeros(zero, value, use.axis)[place]
            tensor.store(value)
            yield Applied(use.node, f"masked {int((~kept).sum())} channels of '{tensor.name}'")


def _zeros(zero: NDArray[Any], value: NDArray[Any], axis: int) -> NDArray[Any]:
    """The stored numbers that mean zero, as an array of the value's shape."""
    if zero.size > 1:
        zero = zero.reshape([-1 if a == axis else 1 for a in range(value.ndim)])
    elif zero.size == 1:
        zero = zero.reshape(())
    return np.broadcast_to(zero.astype(value.dtype), value.shape)
