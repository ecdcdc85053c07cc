"""Dividing one stream of samples: most calibrate, some judge the result, a few choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from onnxq.engine import Feed
from onnxq.workflow.progress import length

_EVERY = 5
_ENOUGH = 20
_HELD_SAMPLES, _HELD_BYTES = 32, 128 * 2**20
_PROBE_SAMPLES, _PROBE_BYTES = 8, 32 * 2**20
_LEARNING_SAMPLES, _LEARNING_BYTES = 32, 128 * 2**20


class Peeked:
    """A stream of samples whose first one was looked at; it is read once more from the start.

    Attributes:
        first: The first sample; None if there is none.
    """

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = feeds
        self._rest = iter(feeds)
        self.first = next(self._rest, None)

    def __iter__(self) -> Iterator[Feed]:
        if self.first is not None:
            yield self.first
        yield from self._rest

    def __len__(self) -> int:
        return len(self._feeds)  # type: ignore[arg-type]  # TypeError where it has no length


@dataclass
class Division:
    """Passes samples on to calibration, and keeps a bounded number of others aside.

    Attributes:
        feeds: All samples.
        hold_out: Whether every fifth sample is kept back, to judge the result on. A stream of
            fewer than five has none.
        learn: Whether samples are kept for corrections to learn from.
        held: Those kept back, at most 32 and 128 MB.
        probes: At most 8 and 32 MB: recipes are tried on them. Where some are held out, and there
            are 20 or more, they do not calibrate either; else they are the first that do.
        learning: Others that calibrate, at most 32 and 128 MB: corrections learn from them,
            so that the probes can tell whether they learnt anything true.
    """

    feeds: Iterable[Feed]
    hold_out: bool
    learn: bool = False
    held: list[Feed] = field(default_factory=list)
    probes: list[Feed] = field(default_factory=list)
    learning: list[Feed] = field(default_factory=list)

    @property
    def tells_apart(self) -> bool:
        """Whether the probes do not calibrate."""
        total = length(self.feeds)
        return self.hold_out and total is not None and total >= _ENOUGH

    def __iter__(self) -> Iterator[Feed]:
        apart = self.tells_apart
        for index, feed in enumerate(self.feeds):
            place = index % _EVERY if self.hold_out else None
            if place == _EVERY - 1 and _fits(self.held, feed, _HELD_SAMPLES, _HELD_BYTES):
                self.held.append(own_copy(feed))
                continue
            probing = (place == 0 or not apart) and _fits(
                self.probes, feed, _PROBE_SAMPLES, _PROBE_BYTES
            )
            if probing:
                self.probes.append(own_copy(feed))
            elif self.learn and _fits(self.learning, feed, _LEARNING_SAMPLES, _LEARNING_BYTES):
                self.learning.append(own_copy(feed))
            if not (probing and apart):
                yield feed

    def __len__(self) -> int:
        total = len(self.feeds)  # type: ignore[arg-type]  # TypeError where it has no length
        held = min(total // _EVERY, _HELD_SAMPLES) if self.hold_out else 0
        probes = min(-(-total // _EVERY), _PROBE_SAMPLES) if self.tells_apart else 0
        return total - held - probes


def own_copy(feed: Feed) -> Feed:
    """A sample to keep: whoever gives samples may fill the same buffer again for the next."""
    return {name: value.copy() for name, value in feed.items()}


def _fits(kept: list[Feed], feed: Feed, samples: int, size: int) -> bool:
    if not kept:
        return True
    each = sum(value.nbytes for value in feed.values())
    return len(kept) < samples and (len(kept) + 1) * each <= size
