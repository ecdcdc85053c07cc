"""Training inputs in memory, and how they become batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from onnxq.engine import Feed
from onnxq.errors import DataError

Tensors = Mapping[str, Tensor]

_REMEMBERED_BYTES = 512 * 2**20
_FEWEST_HELD = 16


@dataclass(frozen=True)
class Batch:
    """Samples that go through the network at once.

    Attributes:
        feed: Inputs by name.
        labels: [samples, …], if there are any.
        expected: What the original returns, if that is remembered.
        share: Share of the step's samples that these are.
    """

    feed: Tensors
    labels: Tensor | None
    expected: Tensors | None
    share: float


@dataclass(frozen=True)
class Samples:
    """Training inputs.

    Attributes:
        feeds: The inputs, each with a batch axis of its own.
        labels: [samples, …] or None.
        stacks: Whether samples of one shape may be stacked along the first axis.
        expected: What the original returns for each, if it is remembered.
    """

    feeds: Sequence[Feed]
    labels: Tensor | None = None
    stacks: bool = True
    expected: Sequence[Tensors] | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.feeds):
            raise DataError(
                f"{len(self.labels)} labels for {len(self.feeds)} training inputs",
                where="finetune.labels",
                remedy="give one label per input",
            )

    def __len__(self) -> int:
        return len(self.feeds)

    def part(self, indices: Sequence[int]) -> Samples:
        """Some of the samples."""
        return replace(
            self,
            feeds=[self.feeds[i] for i in indices],
            labels=None if self.labels is None else self.labels[list(indices)],
            expected=None if self.expected is None else [self.expected[i] for i in indices],
        )

    def divided(self, held_out: float) -> tuple[Samples, Samples]:
        """Those that train, and every so-many-th that is held out."""
        few = min(_FEWEST_HELD, len(self) // 4)
        count = max(round(len(self) * held_out), few) if held_out else 0
        if not count:
            return self, self.part([])
        held = {int((i + 0.5) * len(self) / count) for i in range(count)}
        return (
            self.part([i for i in range(len(self)) if i not in held]),
            self.part(sorted(held)),
        )

    def batches(self, indices: Sequence[int], device: torch.device) -> Iterator[Batch]:
        """The samples as batches of one shape each."""
        for group in self._groups(indices):
            yield Batch(
                feed=_stacked([_tensors(self.feeds[i]) for i in group], device),
                labels=None if self.labels is None else self.labels[group].to(device),
                expected=self._expected(group, device),
                share=len(group) / len(indices),
            )

    def remembering(self, original: Callable[[Tensors], Tensors], device: torch.device) -> Samples:
        """The same, with what the original returns for each, unless that takes too much memory."""
        remembered: list[Tensors] = []
        budget = _REMEMBERED_BYTES
        for feed in self.feeds:
            values = original(_stacked([_tensors(feed)], device))
            remembered.append({name: value.cpu() for name, value in values.items()})
            budget -= sum(v.numel() * v.element_size() for v in remembered[-1].values())
            if budget < 0:
                return self
        return replace(self, expected=remembered)

    def _expected(self, group: Sequence[int], device: torch.device) -> Tensors | None:
        if self.expected is None:
            return None
        return _stacked([self.expected[i] for i in group], device)

    def _groups(self, indices: Sequence[int]) -> list[list[int]]:
        if not self.stacks:
            return [[i] for i in indices]
        groups: dict[tuple[object, ...], list[int]] = {}
        for i in indices:
            shape = tuple(array.shape for array in self.feeds[i].values())
            groups.setdefault(shape, []).append(i)
        return list(groups.values())


def _tensors(feed: Feed) -> Tensors:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feed.items()}


def _stacked(each: Sequence[Tensors], device: torch.device) -> Tensors:
    return {name: torch.cat([one[name] for one in each]).to(device) for name in each[0]}


def can_stack(
    network: Callable[[Tensors], Tensors], feeds: Sequence[Feed], device: torch.device
) -> bool:
    """Whether a network computes for stacked samples what it computes for each.

    Args:
        network: From inputs to outputs.
        feeds: Some samples; the first two of one shape are tried.
        device: Where the network is.
    """
    pairs = [f for f in feeds if _shapes(f) == _shapes(feeds[0])][:2]
    if len(pairs) < len("ab"):
        return False
    single = [network(_stacked([_tensors(feed)], device)) for feed in pairs]
    try:
        both = network(_stacked([_tensors(feed) for feed in pairs], device))
    except RuntimeError:
        # Shapes inside the network are fixed to one sample.
        return False
    return all(
        value.dim() > 0
        and value.shape[0] == sum(one[name].shape[0] for one in single)
        and torch.allclose(value, torch.cat([one[name] for one in single]), rtol=1e-3, atol=1e-4)
        for name, value in both.items()
    )


def _shapes(feed: Feed) -> tuple[object, ...]:
    return tuple(array.shape for array in feed.values())


def blended(batch: Batch, generator: torch.Generator) -> Batch:
    """Float inputs of a batch mixed pairwise in one random proportion.

    (Zhang et al. 2018, arXiv:1710.09412.) What the original returns for them is not remembered.
    """
    size = next(iter(batch.feed.values())).shape[0]
    share = float(torch.rand((), generator=generator))
    other = torch.randperm(size, generator=generator)
    mixed = {
        name: share * value + (1 - share) * value[other.to(value.device)]
        if value.is_floating_point()
        else value
        for name, value in batch.feed.items()
    }
    return replace(batch, feed=mixed, expected=None)
