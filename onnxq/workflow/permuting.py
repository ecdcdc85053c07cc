"""Orders of channels in which an N:M pattern costs less: sought group by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Group, Member, Side, channel_groups
from onnxq.graph import Model, read
from onnxq.passes import PermuteChannels, Reordered
from onnxq.pruning.nm import SparseLayer, find_permutation
from onnxq.quant import Pattern

Scores = NDArray[np.float32]


def permutations_for(
    model: Model, layers: Sequence[SparseLayer], pattern: Pattern
) -> list[PermuteChannels]:
    """Reorderings that let the largest weights of layers stay; magnitudes decide.

    Whether a group may be reordered freely is not known here: the passes are exact, so that
    `run` withdraws those that change the outputs.

    Args:
        model: The float model.
        layers: Those that become sparse.
        pattern: N:M.
    """
    sparse = {layer.weight.name: layer for layer in layers}
    found = (_permutation(model, group, sparse, pattern) for group in channel_groups(model).groups)
    return [one for one in found if one is not None]


def _permutation(
    model: Model, group: Group, sparse: dict[str, SparseLayer], pattern: Pattern
) -> PermuteChannels | None:
    readers = [m for m in group.members if m.side is Side.INPUT and _is_sparse(m, sparse)]
    aligned = [m for m in readers if _is_aligned(m, pattern)]
    if not readers or len(aligned) != len(readers) or group.size % pattern.block:
        return None
    scores = np.concatenate([_scores(m, sparse[m.tensor]) for m in readers], axis=1)
    order = find_permutation(scores, pattern)
    if np.array_equal(order, np.arange(group.size)):
        return None
    return PermuteChannels(group.name, tuple(_parts(group, order, model)))


def _is_sparse(member: Member, sparse: dict[str, SparseLayer]) -> bool:
    return member.tensor in sparse and sparse[member.tensor].layout.axis == member.axis


def _is_aligned(member: Member, pattern: Pattern) -> bool:
    """Whether blocks of channels are blocks of the weight."""
    start = member.positions[0]
    consecutive = start + np.arange(len(member.positions))[:, np.newaxis]
    return np.array_equal(member.positions, consecutive) and not (start % pattern.block).any()


def _scores(member: Member, layer: SparseLayer) -> Scores:
    """[channel, column]: magnitudes of all weights that read each channel, each layer's alike."""
    weight = np.abs(np.moveaxis(read(layer.weight), member.axis, 0)).astype(np.float32)
    taken = weight[member.positions]
    scores = taken.reshape(len(taken), -1)
    return np.asarray(scores / max(float(scores.mean()), 1e-30), np.float32)


def _parts(group: Group, order: NDArray[np.intp], model: Model) -> Iterator[Reordered]:
    sizes = {tensor.name: tensor.stored.shape for tensor in model.constants}
    whole: dict[tuple[str, int], NDArray[np.int64]] = {}
    for member in group.members:
        key = (member.tensor, member.axis)
        if key not in whole:
            # Positions of no channel stay where they are.
            whole[key] = np.arange(sizes[member.tensor][member.axis])
        whole[key][member.positions] = member.positions[order]
    for (name, axis), places in whole.items():
        yield Reordered(name, axis, places)
