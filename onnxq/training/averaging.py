"""The exponential moving average of what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """a ← d·a + (1 - d)·p for every parameter p, with d = min(decay, (1 + t)/(10 + t)) at step t.

    The smaller d of the first steps keeps the average from clinging to where it began.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with the parameters as they are."""
        self._network, self._decay, self._steps = network, decay, 0
        self._values = {n: p.detach().clone() for n, p in network.named_parameters()}

    def update(self) -> None:
        """Take the parameters of another step in."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        with torch.no_grad():
            for name, parameter in self._network.named_parameters():
                self._values[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages in the place of the parameters for a while."""
        parameters = dict(self._network.named_parameters())
        kept = {name: p.detach().clone() for name, p in parameters.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(kept)

    def state(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"steps": self._steps, "values": dict(self._values)}

    def restore(self, steps: int, values: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        self._steps = steps
        for name, value in values.items():
            self._values[name].copy_(value)

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._network.named_parameters():
                parameter.copy_(values[name])
