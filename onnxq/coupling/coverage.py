"""How much of a model's layers lies in slices that can be removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.coupling.groups import Group, Grouping, Side

LAYERS = frozenset(["Conv", "ConvTranspose", "GRU", "Gemm", "LSTM", "MatMul", "RNN"])
"""Operators with a weight."""


@dataclass(frozen=True)
class Coverage:
    """Elements of the weights of convolutions, linear and recurrent layers.

    Attributes:
        total: All of them.
        prunable: Those in a slice that some group can remove.
    """

    total: int
    prunable: int

    @property
    def share(self) -> float:
        """The prunable part of the total; 1 where there is nothing."""
        return self.prunable / self.total if self.total else 1.0


def coverage(grouping: Grouping, ratio: float = 0.0, multiple: int = 1) -> Coverage:
    """How many elements of layers' weights lie in groups.

    Args:
        grouping: The channels of a model.
        ratio: Count only groups that can lose about this part of their channels.
        multiple: Whereby the number of positions left on every axis is such a multiple.
    """
    flow = grouping.flow
    weights = {u.constant for u in flow.uses if u.op in LAYERS and u.side is not Side.BESIDE}
    counted = np.array(
        [can_lose(group, ratio, multiple) for group in grouping.groups] + [False], np.bool_
    )
    total = prunable = 0
    for name in weights:
        shape = tuple(flow.shapes.constants[name].shape)
        if len(shape) < 2:
            continue
        stays = 1.0
        for axis in range(len(shape)):
            roots = flow.sites.get((name, axis))
            if roots is not None:
                stays *= 1 - float(counted[flow.group_of[roots]].mean())
        size = int(np.prod(shape))
        total += size
        prunable += round(size * (1 - stays))
    return Coverage(total, prunable)


def can_lose(group: Group, ratio: float, multiple: int) -> bool:
    """Whether a group can lose between half and one and a half times a part of its channels.

    Args:
        group: The group.
        ratio: The part; 0 asks for nothing.
        multiple: What the widths of the layers that compute the channels must be multiples of.
    """
    if not ratio:
        return True
    repeats = {m.positions.shape[1] for m in group.members if m.side is Side.OUTPUT}
    return any(
        all((group.size - count) * k % multiple == 0 for k in repeats)
        for count in range(1, group.size)
        if 0.5 * ratio <= count / group.size <= 1.5 * ratio
    )
