"""Imported models as the trainer wants them: from inputs to all that losses look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onnxq.training.module import TorchModel
from onnxq.training.student import Tensors


class Network(nn.Module):
    """A model that returns its outputs, and features beside them."""

    def __init__(self, model: TorchModel, outputs: Sequence[str], features: Sequence[str]) -> None:
        """Look at some tensors of a model.

        Args:
            model: The model.
            outputs: Names of its float outputs.
            features: Names of tensors inside; with any, outputs are seen before they are rounded.
        """
        super().__init__()
        self.model = model
        self.outputs, self.features = tuple(outputs), tuple(features)

    def forward(self, feed: Tensors) -> Tensors:
        """The outputs and features by name."""
        if self.features:
            found: Tensors = self.model(feed, wanted=(*self.outputs, *self.features))
            return found
        every = self.model(feed)
        return {name: every[name] for name in self.outputs}


ORIGINAL = "\noriginal"
"""Suffix of the name of a tensor as the original computes it, beside that of the student."""


class BlockNetwork(nn.Module):
    """A stretch of a model, from the tensors it reads to those it gives.

    While it trains, a share of the elements that it reads is what the original computes (Wei et
    al. 2022, QDrop, arXiv:2203.05740, drop the rounding of activations with probability 0.5).
    """

    def __init__(self, model: TorchModel, gives: Sequence[str], drop: float) -> None:
        """Look at a block of a model."""
        super().__init__()
        self.model, self.gives, self.drop = model, tuple(gives), drop

    def forward(self, feed: Tensors) -> Tensors:
        """The tensors that the block gives, by name."""
        given = {n: self._mixed(n, feed) for n in feed if not n.endswith(ORIGINAL)}
        found: Tensors = self.model(given, wanted=self.gives)
        return found

    def _mixed(self, name: str, feed: Tensors) -> Tensor:
        value, original = feed[name], feed.get(f"{name}{ORIGINAL}")
        if original is None or not self.training or not self.drop:
            return value
        taken = torch.rand(value.shape, device=value.device) < self.drop
        return torch.where(taken, original, value)
