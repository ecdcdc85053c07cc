"""The layers that read pruned channels through a weight of their own, so that they can be repaired.

Position p of the weight's input axis multiplies position p of the tensor's channel axis. Left out
are grouped convolutions, weights that several nodes read, and nodes whose weight is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onnxq.coupling import Group, Member, Side
from onnxq.graph import Constant, Model, Node, Variable
from onnxq.pruning.slices import Array


@dataclass(frozen=True)
class Consumer:
    """A layer that multiplies channels by a weight and sums over them.

    Attributes:
        node: Its name.
        weight: Name of its weight.
        axis: Axis of the weight that is summed over.
        input: Name of the tensor it reads.
        input_axis: Axis of that tensor that the weight meets; -1 is the last.
        channels: Length of both axes.
        outputs: Number of values that it computes from them.
    """

    node: str
    weight: str
    axis: int
    input: str
    input_axis: int
    channels: int
    outputs: int

    def matrix(self, weight: Array) -> Array:
        """A weight, or one of other channels, as float64 [channel, everything else]."""
        moved = np.moveaxis(weight, self.axis, 0)
        return moved.reshape(len(moved), -1).astype(np.float64)

    def weight_of(self, matrix: Array, like: Array) -> Array:
        """A matrix in the layout and type of the weight `like`; the channels may be fewer."""
        rest = np.moveaxis(like, self.axis, 0).shape[1:]
        shaped = matrix.reshape(len(matrix), *rest)
        return np.ascontiguousarray(np.moveaxis(shaped, 0, self.axis).astype(like.dtype))

    def per_output(self, columns: Array) -> Array:
        """Sums over the kernel of one value per column of `matrix`: float64 [output].

        The columns of a convolution are its outputs, each with its kernel.
        """
        return np.asarray(columns.reshape(self.outputs, -1).sum(axis=1))


def consumer_of(node: Node) -> Consumer | None:
    """How a node sums over channels; None if it does not, or not in a way that can be repaired."""
    if not node.standard or node.op not in _AXES or len(node.inputs) < 2:
        return None
    data, weight = node.inputs[:2]
    if not isinstance(data, Variable) or not isinstance(weight, Constant):
        return None
    rank = len(weight.stored.shape)
    unsuitable = (
        len(weight.outputs) != 1
        or weight.stored.dtype.kind != "f"
        or int(node.attrs.get("group", 1)) != 1
        or bool(node.attrs.get("transA", 0))
        or (node.op in ("Gemm", "MatMul") and rank != 2)
    )
    if unsuitable:
        return None
    axis = 1 if node.op == "Gemm" and node.attrs.get("transB", 0) else _AXES[node.op]
    input_axis = 1 if node.op.startswith("Conv") else -1
    size, outputs = int(weight.stored.shape[axis]), int(weight.stored.shape[1 - axis])
    return Consumer(node.name, weight.name, axis, data.name, input_axis, size, outputs)


_AXES: Mapping[str, int] = {"Conv": 1, "ConvTranspose": 0, "Gemm": 0, "MatMul": 0}


@dataclass(frozen=True)
class Reading:
    """Where a consumer reads the channels of a group."""

    consumer: Consumer
    member: Member


def consumers_of(model: Model) -> dict[str, Consumer]:
    """All consumers of a model by the name of their weight, in the order of the model."""
    found = (consumer_of(node) for node in model.nodes)
    return {consumer.weight: consumer for consumer in found if consumer is not None}


def readings_of(group: Group, consumers: Mapping[str, Consumer]) -> tuple[Reading, ...]:
    """The consumers of a group that can be repaired, and where they read its channels."""
    return tuple(
        Reading(consumer, member)
        for member in group.members
        if member.side is Side.INPUT
        and (consumer := consumers.get(member.tensor)) is not None
        and consumer.axis == member.axis
    )
