"""Granularities on torch tensors: the views of `onnxq.quant.granularity` once more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from onnxq.quant import Granularity, PerBlock, PerChannel


@dataclass(frozen=True)
class Grouping:
    """Which elements of a tensor share a scale.

    Attributes:
        granularity: One scale per tensor, per channel or per block.
    """

    granularity: Granularity

    def group(self, x: Tensor) -> Tensor:
        """View of the tensor over which aligned parameters broadcast; blocks have their own axis.

        A short last block is filled with zeros.
        """
        if not isinstance(self.granularity, PerBlock):
            return x
        axis, size = self.granularity.axis % x.dim(), self.granularity.size
        missing = -x.shape[axis] % size
        if missing:
            x = pad(x, [0, 0] * (x.dim() - 1 - axis) + [0, missing])
        blocks = x.shape[axis] // size
        return x.reshape(*x.shape[:axis], blocks, size, *x.shape[axis + 1 :])

    def align(self, parameter: Tensor, rank: int) -> Tensor:
        """View of a parameter that broadcasts over a grouped tensor of that rank."""
        match self.granularity:
            case PerChannel(axis):
                sizes = [1] * rank
                sizes[axis] = -1
                return parameter.reshape(sizes)
            case PerBlock(axis):
                return parameter.unsqueeze(axis % (rank - 1) + 1)
            case _:
                return parameter

    def ungroup(self, x: Tensor, shape: torch.Size) -> Tensor:
        """A grouped tensor back in its own shape."""
        if not isinstance(self.granularity, PerBlock):
            return x
        axis = self.granularity.axis % len(shape)
        return x.flatten(axis, axis + 1).narrow(axis, 0, shape[axis])

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of every group, zero included, of the parameters' shape."""
        grouped = self.group(x)
        axes = self._shared_axes(grouped.dim())
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        if not axes:
            return torch.minimum(grouped, zero), torch.maximum(grouped, zero)
        return (
            torch.minimum(grouped.amin(axes), zero),
            torch.maximum(grouped.amax(axes), zero),
        )

    def _shared_axes(self, rank: int) -> tuple[int, ...]:
        return self.granularity.shared_axes(rank)
