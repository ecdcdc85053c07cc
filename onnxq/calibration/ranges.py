"""The result of calibration: the range of every tensor, as a value that can be kept."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxq.errors import DataError, OutputError, UsageError
from onnxq.graph import atomic_file

VERSION = 1
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Range:
    """Lowest and highest value that a tensor's codes must reach; zero lies within.

    Raises:
        UsageError: Zero is outside, or an end is not finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (-math.inf < self.low <= 0.0 <= self.high < math.inf):
            raise UsageError(f"[{self.low}, {self.high}] is not a finite range around zero")
        # No negative zero: ranges are compared and printed.
        object.__setattr__(self, "low", float(self.low) + 0.0)
        object.__setattr__(self, "high", float(self.high) + 0.0)

    def union(self, other: Range) -> Range:
        """The smallest range that covers both, for tensors that share a scale."""
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Ranges:
    """Ranges of a model's tensors.

    Attributes:
        model: Digest of the model they were found with.
        ranges: By tensor name.
        methods: How each was found, as text, by tensor name.
        unobserved: Tensors that were asked for and whose range could not be told: they held no
            value, or NaN, infinity, or values that stand for it.
        feeds: Where the samples came from.
        feeds_digest: Digest of their content, if it is known.
        samples: How many there were.
    """

    model: str
    ranges: Mapping[str, Range]
    methods: Mapping[str, str] = field(default_factory=dict)
    unobserved: tuple[str, ...] = ()
    feeds: str = ""
    feeds_digest: str | None = None
    samples: int = 0

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """(low, high) by tensor name."""
        return {name: (found.low, found.high) for name, found in self.ranges.items()}

    def to_dict(self) -> dict[str, Any]:
        """The ranges as JSON values; ``from_dict`` reads them back exactly."""
        return {
            "version": VERSION,
            "model": self.model,
            "feeds": self.feeds,
            "feeds_digest": self.feeds_digest,
            "samples": self.samples,
            "unobserved": list(self.unobserved),
            "ranges": {
                name: {"low": r.low, "high": r.high, "method": self.methods.get(name, "")}
                for name, r in self.ranges.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ranges:
        """Read ranges from JSON values.

        Raises:
            DataError: They are not ranges of this version.
        """
        try:
            return _ranges_from(data)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise DataError(
                "is not a file of ranges of this version of onnxq",
                why=f"{type(error).__name__}: {error}",
                remedy="calibrate again",
            ) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the ranges as JSON; an existing file is replaced in one step.

        Raises:
            OutputError: The file cannot be written.
        """
        target = Path(path)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        try:
            with atomic_file(target) as file:
                file.write(text.encode() + b"\n")
        except OSError as error:
            raise OutputError(
                "cannot be written", where=str(target), why=error.strerror or str(error)
            ) from error
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ranges:
        """Read what `save` wrote.

        Raises:
            DataError: The file cannot be read or is something else.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls.from_dict(data)
        except (OSError, ValueError) as error:
            raise DataError(
                "no ranges can be read", where=str(path), why=str(error), remedy="calibrate again"
            ) from error
        except DataError as error:
            raise DataError(
                error.what, where=str(path), why=error.why, remedy=error.remedy
            ) from error


def check_belongs(ranges: Ranges, model: str, tensors: Collection[str]) -> None:
    """Make sure that ranges fit a model and what is asked of them.

    Args:
        ranges: The ranges.
        model: Digest of the model.
        tensors: Names of the tensors that need a range; those known to be unobserved pass.

    Raises:
        DataError: They were found with another model, or lack a tensor.
    """
    if ranges.model != model:
        raise DataError(
            "the ranges belong to another model",
            why=f"they were found with {ranges.model[:12]}, this is {model[:12]}",
            remedy="calibrate this model",
        )
    missing = sorted(set(tensors) - ranges.ranges.keys() - set(ranges.unobserved))
    if missing:
        shown = ", ".join(f"'{name}'" for name in missing[:_NAMES_SHOWN])
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise DataError(
            f"the ranges lack {shown}{more}",
            why="they were found for a plan that left these tensors out",
            remedy="calibrate again with this plan",
        )


def _ranges_from(data: Mapping[str, Any]) -> Ranges:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']}")
    entries = data["ranges"]
    return Ranges(
        model=str(data["model"]),
        ranges={name: Range(entry["low"], entry["high"]) for name, entry in entries.items()},
        methods={name: str(entry["method"]) for name, entry in entries.items()},
        unobserved=tuple(data["unobserved"]),
        feeds=str(data["feeds"]),
        feeds_digest=data["feeds_digest"],
        samples=int(data["samples"]),
    )
