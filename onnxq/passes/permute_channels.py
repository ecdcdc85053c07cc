"""Reorder channels wherever they are computed and read, so that outputs stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Model, read
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True, eq=False)
class Reordered:
    """An axis of a constant, and the order it gets.

    Attributes:
        constant: Its name.
        axis: The axis.
        order: [size of the axis] which position comes to each place.
    """

    constant: str
    axis: int
    order: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PermuteChannels:
    """Put the channels of one group into another order.

    Attributes:
        group: Its name.
        parts: All constants that compute the channels, read them or stand beside them.
    """

    group: str
    parts: tuple[Reordered, ...]
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        known = {tensor.name: tensor for tensor in model.constants}
        missing = [part.constant for part in self.parts if part.constant not in known]
        if missing:
            yield Refused(self.group, f"there is no constant '{missing[0]}'")
            return
        for part in self.parts:
            tensor = known[part.constant]
            value = np.take(read(tensor), part.order, axis=part.axis)
            tensor.store(np.ascontiguousarray(value))
        yield Applied(self.group, f"reordered its channels in {len(self.parts)} constants")
