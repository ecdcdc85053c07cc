"""Where samples come from: the common shape of all sources, and those that live in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

from onnxq.errors import DataError

Labelled: TypeAlias = Iterator[tuple[str, object]]
"""Samples in whatever form the user has them, each with a label for errors."""


class Source(Protocol):
    """A stream of samples."""

    @property
    def description(self) -> str:
        """A few words for messages and reports."""

    @property
    def length(self) -> int | None:
        """How many samples there are, if that is known."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of this source."""

    @property
    def digest(self) -> str | None:
        """Digest of the content, where it is cheap to find."""

    def read(self) -> Labelled:
        """The samples.

        Raises:
            DataError: They cannot be read, or only once and that has been done.
        """


class IterableSource:
    """Any iterable: a list, a torch DataLoader, a generator (which can be read only once)."""

    notes: tuple[str, ...] = ()
    digest: str | None = None

    def __init__(self, samples: Iterable[object]) -> None:
        self._samples = samples
        self._is_spent = False
        self.length = _length(samples)
        self.description = type(samples).__name__

    def read(self) -> Labelled:
        """The samples, numbered from 0."""
        if self._is_spent:
            raise _spent(self.description, "give a function that returns a new one")
        self._is_spent = isinstance(self._samples, Iterator)
        return _numbered(self._samples)


class IndexedSource:
    """A dataset with a length and items by index, such as a torch Dataset."""

    notes: tuple[str, ...] = ()
    digest: str | None = None

    def __init__(self, samples: Any) -> None:
        self._samples = samples
        self.length: int | None = len(samples)
        self.description = type(samples).__name__

    def read(self) -> Labelled:
        """The samples, numbered from 0."""
        return _numbered(self._samples[index] for index in range(self.length or 0))


class ReaderSource:
    """ONNX Runtime's CalibrationDataReader: `get_next()` gives a sample, or None at the end."""

    notes: tuple[str, ...] = ()
    digest: str | None = None
    length: int | None = None

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._is_started = False
        self.description = type(reader).__name__

    def read(self) -> Labelled:
        """The samples, numbered from 0."""
        if self._is_started:
            if not hasattr(self._reader, "rewind"):
                raise _spent(self.description, "add a method rewind() to it")
            self._reader.rewind()
        self._is_started = True
        return _numbered(iter(self._reader.get_next, None))


class CallableSource:
    """A function that gives samples, called again whenever they are wanted again."""

    digest: str | None = None

    def __init__(
        self, function: Callable[[], object], to_source: Callable[[object], Source], name: str
    ) -> None:
        self._function = function
        self._to_source = to_source
        first = to_source(function())
        self._unread: Source | None = first
        self.length = first.length
        self.notes = first.notes
        self.description = name

    def read(self) -> Labelled:
        """The samples of what the function returns."""
        source = self._unread or self._to_source(self._function())
        self._unread = None
        return source.read()

    def __getstate__(self) -> dict[str, object]:
        # A worker calls the function itself; what it returned here may not be pickled.
        return {**self.__dict__, "_unread": None}


def _numbered(samples: Iterable[object]) -> Labelled:
    return ((f"sample {number}", sample) for number, sample in enumerate(samples))


def _spent(description: str, remedy: str) -> DataError:
    return DataError(
        "the samples have been read already and cannot be read again",
        where=description,
        remedy=remedy,
    )


def _length(samples: object) -> int | None:
    try:
        return len(samples)  # type: ignore[arg-type]  # the length is optional
    except (TypeError, NotImplementedError):
        return None
