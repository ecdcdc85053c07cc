"""Scale and bias around a normalisation, read as vectors along given axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Tensor
from onnxq.rules.normalisation.standardisation import Standardisation
from onnxq.rules.structure.reductions import sizes
from onnxq.rules.workspace import Workspace

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """What a standardised tensor is multiplied with, and what is added then.

    Attributes:
        output: The tensor after both.
        scale: Its sizes are those of the axes asked for; None if nothing is multiplied.
        bias: The same for what is added.
        flat: Whether the constants of both have exactly those sizes in the file.
    """

    output: Tensor
    scale: Vector | None
    bias: Vector | None
    flat: bool

    @property
    def plain(self) -> bool:
        """Whether there is neither scale nor bias."""
        return self.scale is None and self.bias is None


def affine(work: Workspace, found: Standardisation, along: Sequence[int]) -> Affine | None:
    """The scale and bias of a standardisation that vary along some axes only.

    None if those sizes are not known, or if what was multiplied on the way varies elsewhere.
    """
    extent = sizes(work.shape(found.source), along)
    if extent is None:
        return None
    parts = [found.scale, found.bias]
    output = found.result
    for index, op in enumerate(("Mul", "Add")):
        if all(part is None for part in parts[index:]):
            output, parts[index] = _step(work, op, output, found.rank, along, extent)
    known = [None if t is None else vector(work, t, found.rank, along, extent) for t in parts]
    if any(v is None for v, t in zip(known, parts, strict=True) if t is not None):
        return None
    flat = all(work.shape(t) == extent for t in parts if t is not None)
    return Affine(output, known[0], known[1], flat)


def normalises_channels(work: Workspace, found: Standardisation) -> bool:
    """Whether this is an instance normalisation: over all axes but batch and channel.

    Where the statistics run over the last axis of three, scale and bias tell it from a layer
    normalisation; without them it is the latter, unless a Reshape made groups of channels before.
    """
    if found.axes != tuple(range(2, found.rank)):
        return False
    by_channel = affine(work, found, (1,))
    by_feature = affine(work, found, found.axes)
    if by_channel is None or (by_feature is not None and not by_feature.plain):
        return False
    grouped = work.producer(found.source, "Reshape") is not None
    return found.rank > 3 or grouped or not by_channel.plain


def vector(
    work: Workspace, tensor: Tensor, rank: int, along: Sequence[int], extent: Sequence[int]
) -> Vector | None:
    """A float32 constant as an array of sizes `extent`.

    None if it is no such constant, or if it varies along other axes than `along` of the tensor
    of rank `rank` that it is combined with.
    """
    value = work.value(tensor)
    if value is None or value.dtype != np.float32 or value.ndim > rank:
        return None
    full: NDArray[Any] = value.reshape((1,) * (rank - value.ndim) + value.shape)
    wanted = [1] * rank
    for axis, size in zip(along, extent, strict=True):
        wanted[axis] = size
    if any(size not in (1, limit) for size, limit in zip(full.shape, wanted, strict=True)):
        return None
    return np.broadcast_to(full, wanted).reshape(tuple(extent))


def _step(
    work: Workspace, op: str, tensor: Tensor, rank: int, along: Sequence[int], extent: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """(the result, the constant) of the node that alone reads a tensor, if it takes a vector."""
    node = work.only_reader(tensor, op)
    if node is None or len(node.inputs) != 2:
        return tensor, None
    other = node.inputs[1] if node.inputs[0] is tensor else node.inputs[0]
    if vector(work, other, rank, along, extent) is None:
        return tensor, None
    return node.outputs[0], other
