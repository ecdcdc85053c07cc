"""Samples as the model wants them, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from onnxq.calibration.arrays import to_arrays
from onnxq.calibration.conform import conform
from onnxq.calibration.notes import Notes
from onnxq.calibration.sources import Source
from onnxq.engine import Feed, InputSpec
from onnxq.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class Feeds:
    """A stream of feeds; every iteration reads the source again, if that is possible.

    Nothing but the sample at hand is kept in memory.

    Attributes:
        source: Where the samples come from.
        specs: The model's inputs.
        limit: At most so many samples are read; None for all.
        part: Which of `parts` interleaved shards this is.
        parts: How many shards there are; 1 for all samples.
        seen: What happened to the samples read so far.
    """

    source: Source
    specs: tuple[InputSpec, ...]
    limit: int | None = None
    part: int = 0
    parts: int = 1
    seen: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"{self.limit} samples cannot be read", remedy="ask for at least 1")
        if not 0 <= self.part < self.parts:
            raise UsageError(f"there is no shard {self.part} of {self.parts}")

    @property
    def description(self) -> str:
        """A few words for messages and reports."""
        return self.source.description

    @property
    def length(self) -> int | None:
        """How many samples an iteration gives, if that is known."""
        if self.source.length is None:
            return None
        return len(range(self.source.length)[: self.limit][self.part :: self.parts])

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know: of the source, and of the samples read so far."""
        return (*self.source.notes, *self.seen)

    @property
    def digest(self) -> str | None:
        """Digest of the content and of which part of it is read, where it is cheap to find."""
        content = self.source.digest
        if content is None:
            return None
        text = f"{content} {self.limit} {self.part} {self.parts}"
        return hashlib.sha256(text.encode()).hexdigest()

    def limited(self, samples: int | None) -> Feeds:
        """These feeds, but at most so many samples."""
        limits = [limit for limit in (self.limit, samples) if limit is not None]
        return replace(self, limit=min(limits, default=None))

    def shards(self, count: int) -> list[Feeds]:
        """These feeds divided evenly for parallel collection; each shard reads its own samples.

        Args:
            count: How many shards; fewer come back if there are fewer samples.

        Raises:
            UsageError: This is a shard already.
        """
        if self.parts != 1:
            raise UsageError("a shard of feeds cannot be divided again")
        count = min(count, self.length or count)
        return [replace(self, part=i, parts=count, seen=Notes()) for i in range(count)]

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"{self.description}: how many samples there are is not known")
        return self.length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Feed]:
        """The feeds.

        Raises:
            DataError: There are none, one does not fit the model, or the source can be read
                only once and has been.
        """
        read = 0
        for label, sample in islice(self.source.read(), self.part, self.limit, self.parts):
            where = f"{self.description}, {label}"
            arrays = to_arrays(sample, self.specs, where, self.seen)
            yield conform(arrays, self.specs, where, self.seen)
            read += 1
        if not read:
            raise DataError(
                "there are no samples",
                where=self.description,
                why="; ".join(self.notes),
                remedy="give at least one",
            )
