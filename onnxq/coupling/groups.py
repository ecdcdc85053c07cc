"""Channel groups: what can be removed, and what cannot, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling.factors import Factors
from onnxq.coupling.labels import LabelArray
from onnxq.coupling.shapes import Shapes


class Side(Enum):
    """What a constant's slices do with a channel."""

    OUTPUT = "output"
    """They compute the channel."""
    INPUT = "input"
    """They read the channel."""
    BESIDE = "beside"
    """Bias, norm parameter or other constant per channel."""


class Kind(Enum):
    """What the channels of a group are."""

    CHANNELS = "channels"
    HEADS = "heads"
    HIDDEN = "hidden units"


class Cut(Enum):
    """Which way a tensor is cut that has several axes of channels, as attention's heads are."""

    INNER = "inner"
    """Along the last of them: every head gets narrower."""
    HEADS = "heads"
    """Along the last but one: whole heads go."""


@dataclass(frozen=True, eq=False)
class Member:
    """Slices of one constant that belong to a group.

    Attributes:
        tensor: Name of the constant.
        axis: Axis of the constant, not negative.
        positions: [channels, k] int64: the k positions along `axis` that belong to a channel.
        side: What the slices do with the channel.
        nodes: Names of the nodes that use the constant so.
    """

    tensor: str
    axis: int
    positions: NDArray[np.int64]
    side: Side
    nodes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """Channels of one kind: each can be removed by itself, with all its slices.

    Attributes:
        name: The first node that computes the channels; unique.
        size: Number of channels.
        members: The constants concerned.
        kind: What the channels are.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    kind: Kind = Kind.CHANNELS


@dataclass(frozen=True)
class Frozen:
    """Channels that cannot be removed.

    Attributes:
        name: The first node that computes them.
        reason: Why not.
        nodes: The nodes that compute them.
        tensors: The constants that would shrink, each with its axis.
        channels: How many they are.
    """

    name: str
    reason: str
    nodes: tuple[str, ...]
    tensors: tuple[tuple[str, int], ...]
    channels: int


@dataclass(frozen=True, eq=False)
class Use:
    """A node that uses slices of a constant.

    Attributes:
        constant: Its name.
        axis: Its axis.
        side: What the slices do.
        node: The node's name.
        op: Its operator.
        masked: Whether the slices become zero to mask a channel.
        zero_point: Name of the constant that says which stored number means zero.
    """

    constant: str
    axis: int
    side: Side
    node: str
    op: str
    masked: bool
    zero_point: str = ""


@dataclass(frozen=True, eq=False)
class Leak:
    """A layer that reads a value other than zero from a masked channel.

    Attributes:
        node: The layer's name.
        constant: Its weight.
        axis: The weight's axis of input channels.
        labels: [n] labels along that axis.
        dead: [n] the value that each brings.
    """

    node: str
    constant: str
    axis: int
    labels: LabelArray
    dead: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flow:
    """What surgery needs besides the groups.

    Attributes:
        shapes: Shapes for one choice of the free dimensions.
        carried: Factors of every tensor that has any, with final labels.
        sites: Final labels [n] along an axis of a constant, by name and axis.
        uses: Who uses them, and how.
        leaks: Which layers would read something else than zero.
        group_of: [labels] index of the group of each final label; -1 for those that stay.
        channel_of: [labels] number of the channel in its group.
    """

    shapes: Shapes
    carried: Mapping[str, Factors] = field(default_factory=dict)
    sites: Mapping[tuple[str, int], LabelArray] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    leaks: tuple[Leak, ...] = ()
    group_of: LabelArray = field(default_factory=lambda: np.zeros(0, np.int64))
    channel_of: LabelArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Grouping:
    """All channels of a model.

    Attributes:
        groups: Those that can be removed, in the order of the model.
        frozen: Those that cannot.
        flow: What surgery needs besides.
    """

    groups: tuple[Group, ...]
    frozen: tuple[Frozen, ...]
    flow: Flow = field(repr=False)

    def group(self, name: str) -> Group | None:
        """The group of a name."""
        return next((g for g in self.groups if g.name == name), None)
