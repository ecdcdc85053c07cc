"""Which positions of which axes a removal takes, and which shapes it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Grouping
from onnxq.errors import UsageError
from onnxq.graph import Tensor

Kept = NDArray[np.bool_]
"""[n] which positions along an axis stay."""


class Removal:
    """What goes.

    Attributes:
        grouping: The channels of the model.
        gone: [labels] which labels go.
    """

    def __init__(self, grouping: Grouping, removed: Mapping[str, Sequence[int]]) -> None:
        """Look the channels up.

        Raises:
            UsageError: if a group or channel is unknown, or nothing would be left of a group.
        """
        self.grouping = grouping
        flow = grouping.flow
        first = np.cumsum([0, *(g.size for g in grouping.groups)])
        chosen = np.zeros(int(first[-1]) + 1, np.bool_)
        index = {group.name: i for i, group in enumerate(grouping.groups)}
        for name, channels in removed.items():
            if name not in index:
                raise _unknown(name, index)
            number = index[name]
            _check(name, channels, grouping.groups[number].size)
            chosen[first[number] + np.asarray(channels, np.int64)] = True
        place = np.where(flow.group_of >= 0, first[flow.group_of] + flow.channel_of, -1)
        self.gone: Kept = chosen[place]

    def kept_of_site(self, constant: str, axis: int) -> Kept:
        """Which positions along an axis of a constant stay."""
        return ~self.gone[self.grouping.flow.sites[constant, axis]]

    def kept(self, tensor: Tensor) -> dict[int, Kept]:
        """Which positions stay, by axis, for those axes of a tensor that lose any."""
        found: dict[int, Kept] = {}
        for factor in self.grouping.flow.carried.get(tensor.name, ()):
            stays = ~self.gone[factor.labels]
            if stays.all():
                continue
            for axis in factor.axes:
                # Labels depend on one axis only, whatever others the array has.
                others = tuple(a for a in range(stays.ndim) if a != axis)
                along = stays.all(others)
                if np.array_equal(along, stays.any(others)):
                    found[axis] = np.logical_and(found.get(axis, along), along)
        return found

    def shape(self, tensor: Tensor) -> tuple[int, ...] | None:
        """The shape that a tensor is left with."""
        before = self.grouping.flow.shapes.shape(tensor)
        if before is None:
            return None
        kept = self.kept(tensor)
        return tuple(int(kept[a].sum()) if a in kept else n for a, n in enumerate(before))


def _check(name: str, channels: Sequence[int], size: int) -> None:
    where = f"group '{name}'"
    if len(channels) and not all(0 <= c < size for c in channels):
        raise UsageError(
            f"a channel is not between 0 and {size - 1}",
            where=where,
            remedy="`onnxq groups` lists the channels of every group",
        )
    if len(set(channels)) >= size:
        raise UsageError(
            f"all {size} channels would be removed", where=where, remedy="leave at least one"
        )


def _unknown(name: str, known: Mapping[str, int]) -> UsageError:
    close = get_close_matches(name, known, 1)
    return UsageError(
        f"the model has no group '{name}'",
        remedy=f"did you mean '{close[0]}'?" if close else "`onnxq groups` lists them",
    )
