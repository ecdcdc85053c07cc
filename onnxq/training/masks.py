"""Masks that hold through a training: what is pruned stays zero, however the optimizer moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxq.graph import Model, read, sparse_layers
from onnxq.pruning.nm import Layout
from onnxq.quant import Pattern
from onnxq.training.fake_quantize.surrogates import straight_through
from onnxq.training.student import QuietHook

_REFRESHED = 0.75
"""Share of the steps in which masks may change; then the weights settle."""


@dataclass(frozen=True)
class Mask:
    """Which weights live.

    Attributes:
        alive: Of the weight's shape.
        pattern: What it follows, if it is an N:M mask.
        layout: Along which axis blocks lie.
        update_every: It is chosen anew every so many steps; 0: it stays.
    """

    alive: NDArray[np.bool_]
    pattern: Pattern
    layout: Layout
    update_every: int = 0

    def renewed(self, weight: NDArray[Any]) -> NDArray[np.bool_]:
        """The mask of the same pattern that keeps the largest of other weights."""
        scores = self.layout.matrices(np.abs(weight))
        order = self.layout.order(self.pattern, weight.shape)
        chosen = np.empty(scores.shape, np.bool_)
        chosen[:, order] = self.pattern.strongest(scores[:, order])
        return self.layout.array(chosen, weight.shape)


def masks_of(model: Model, update_every: Callable[[str], int] = lambda _: 0) -> dict[str, Mask]:
    """The N:M masks that a model promises, by constant.

    Args:
        model: The model.
        update_every: From the name of a layer to the steps after which its mask is chosen anew.
    """
    nodes = {node.name: node for node in model.nodes}
    found: dict[str, Mask] = {}
    for name, pattern in sparse_layers(model).items():
        if name in nodes:
            weight = nodes[name].inputs[1]
            value = read(weight)
            layout = Layout.of(nodes[name], value.shape)
            alive = np.asarray(value != 0)
            found[weight.name] = Mask(alive, pattern, layout, update_every(name))
    return found


class MaskedWeight(nn.Module):
    """Holds a mask: what it hides stays exactly zero.

    Attributes:
        alive: 1 where a weight lives, 0 where it is pruned.
        revives: Hidden weights go on learning, and may come back when the mask is chosen anew
            (straight-through); else they get no gradient.
    """

    alive: Tensor

    def __init__(self, alive: NDArray[np.bool_], *, revives: bool) -> None:
        """Hold a mask of the weight's shape."""
        super().__init__()
        self.register_buffer("alive", torch.from_numpy(alive.astype(np.float32)))
        self.revives = revives

    def forward(self, x: Tensor) -> Tensor:
        """The weight without what the mask hides."""
        masked = x * self.alive
        return straight_through(x, masked) if self.revives else masked


class Weighted(Protocol):
    """Whatever has weights."""

    @property
    def parameters_by_name(self) -> Mapping[str, nn.Parameter]:
        """The weights by constant."""


class HeldMasks(QuietHook):
    """The masks of a network, and when they are chosen anew.

    Attributes:
        modules: What hides the weights, by constant.
    """

    def __init__(self, masks: Mapping[str, Mask]) -> None:
        """Hold masks, by constant."""
        self._masks = masks
        self.modules = {
            name: MaskedWeight(mask.alive, revives=mask.update_every > 0)
            for name, mask in masks.items()
        }
        self._network: Weighted | None = None

    def watch(self, network: Weighted) -> None:
        """Choose masks by the weights of this network."""
        self._network = network

    def after_step(self, step: int, total: int) -> None:
        """Choose the masks anew whose time it is."""
        if step >= _REFRESHED * total or self._network is None:
            return
        weights = self._network.parameters_by_name
        for name, mask in self._masks.items():
            if not mask.update_every or (step + 1) % mask.update_every:
                continue
            alive = mask.renewed(weights[name].detach().cpu().numpy())
            self.modules[name].alive.copy_(torch.from_numpy(alive.astype(np.float32)))

    def applied(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Constants with what the masks hide at exactly zero."""
        alive = {name: module.alive.cpu().numpy() > 0 for name, module in self.modules.items()}
        return {
            name: np.where(alive[name], value, np.zeros((), value.dtype))
            if name in alive
            else value
            for name, value in values.items()
        }
