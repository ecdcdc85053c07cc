"""The parts of a constant that belong to each channel of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Group, Member, Side

Array: TypeAlias = NDArray[Any]
Read: TypeAlias = Callable[[str], Array]
"""Gives the value of a constant by its name."""


def channel_slices(values: Array, member: Member) -> Array:
    """The elements of a constant by channel: float64 [channel, element].

    Args:
        values: The constant that the member names, or an array shaped alike, such as its gradient.
        member: Which axis and positions belong to the channels.
    """
    taken = np.moveaxis(values, member.axis, 0)[member.positions]
    return taken.reshape(len(member.positions), -1).astype(np.float64)


def members_on(group: Group, side: Side) -> Iterator[Member]:
    """The members of a group on one side."""
    return (member for member in group.members if member.side is side)
