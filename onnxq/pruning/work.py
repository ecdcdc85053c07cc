"""What a model costs with fewer channels, without building it.

The MACs of a layer are proportional to the elements of its weights: each element is used as often
as before. The elements that are left are the product, over the axes, of the shares of positions
that are left. This is exact for layers with weights; products of two computed tensors count as
unchanged, which the caller makes up for by counting the built model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Group

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """A constant with axes that groups can shorten.

    Attributes:
        weight: What all of it costs.
        axes: By axis, (group number, share of the axis that the group owns) pairs.
    """

    weight: float
    axes: tuple[tuple[tuple[int, float], ...], ...]

    def cost(self, kept: Shares) -> float:
        """The cost with these shares of the groups left."""
        left = self.weight
        for owners in self.axes:
            left *= 1.0 - sum(share * (1.0 - kept[group]) for group, share in owners)
        return left


class Work:
    """The cost of a model as a function of the shares of channels that its groups keep.

    Attributes:
        total: The cost of the whole model as it is.
    """

    def __init__(self, blocks: Sequence[Block], total: float, groups: int) -> None:
        self.total = total
        self._blocks = blocks
        self._of_group: list[list[Block]] = [[] for _ in range(groups)]
        for block in blocks:
            for group in {group for axis in block.axes for group, _ in axis}:
                self._of_group[group].append(block)
        whole = np.ones(groups)
        self._fixed = total - sum(block.cost(whole) for block in blocks)

    def cost(self, kept: Shares) -> float:
        """The cost with these shares of the groups left: float64 [groups]."""
        return self._fixed + sum(block.cost(kept) for block in self._blocks)

    def saved(self, kept: Shares, group: int, share: float) -> float:
        """What is saved if one group goes down to a share, the others staying."""
        fewer = kept.copy()
        fewer[group] = share
        return sum(block.cost(kept) - block.cost(fewer) for block in self._of_group[group])


def work_of(
    groups: Sequence[Group],
    shapes: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, float],
    total: float,
) -> Work:
    """Set up the cost of a model.

    Args:
        groups: Its groups.
        shapes: Shapes of its constants by name.
        weights: What each constant costs, by name: its elements for parameters, its share of its
            layer's MACs for those. Constants that are missing cost nothing.
        total: The cost of the whole model.
    """
    axes: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for number, group in enumerate(groups):
        for member in group.members:
            length = shapes[member.tensor][member.axis]
            share = len(np.unique(member.positions)) / length
            owners = axes.setdefault(member.tensor, {}).setdefault(member.axis, [])
            if (number, share) not in owners:
                owners.append((number, share))
    blocks = [
        Block(weights[name], tuple(map(tuple, found.values())))
        for name, found in axes.items()
        if weights.get(name)
    ]
    return Work(blocks, total, len(groups))


def elements(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """Parameters of each constant, by its name."""
    return {name: float(prod(shape)) for name, shape in shapes.items()}
