"""Where samples come from: the common shape of all sources, and those that live in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from onnxq.calibration.notes import Notes
from onnxq.errors import DataError


class Source(Protocol):
    """A stream of samples in whatever form the user has them."""

    @property
    def description(self) -> str:
        """A few words for messages and reports."""

    @property
    def length(self) -> int | None:
        """How many samples there are, if that is known."""

    def digest(self, limit: int | None) -> str | None:
        """Digest of the content of the first so many samples, where it is cheap to find."""

    def read(self, notes: Notes) -> Iterator[tuple[str, object]]:
        """The samples, each with a label for errors.

        Raises:
            DataError: They cannot be read, or only once and that has been done.
        """


class IterableSource:
    """Any iterable: a list, a torch DataLoader, a generator (which can be read only once)."""

    def __init__(self, samples: Iterable[object], description: str = "") -> None:
        self._samples = samples
        self._is_spent = False
        self.length = _length(samples)
        self.description = description or type(samples).__name__

    def digest(self, limit: int | None) -> None:
        """Not known without reading everything."""

    def read(self, notes: Notes) -> Iterator[tuple[str, object]]:
        """The samples, numbered from 0."""
        if self._is_spent:
            raise spent(self.description)
        self._is_spent = isinstance(self._samples, Iterator)
        return ((f"sample {number}", sample) for number, sample in enumerate(self._samples))


class IndexedSource:
    """A dataset with a length and items by index, such as a torch Dataset."""

    def __init__(self, samples: Any) -> None:
        self._samples = samples
        self.length: int | None = len(samples)
        self.description = type(samples).__name__

    def digest(self, limit: int | None) -> None:
        """Not known without reading everything."""

    def read(self, notes: Notes) -> Iterator[tuple[str, object]]:
        """The samples, numbered from 0."""
        return ((f"sample {i}", self._samples[i]) for i in range(self.length or 0))


class ReaderSource:
    """ONNX Runtime's CalibrationDataReader: `get_next()` gives a sample or None at the end."""

    length: int | None = None

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._is_started = False
        self.description = type(reader).__name__

    def digest(self, limit: int | None) -> None:
        """Not known without reading everything."""

    def read(self, notes: Notes) -> Iterator[tuple[str, object]]:
        """The samples, numbered from 0."""
        if self._is_started:
            if not hasattr(self._reader, "rewind"):
                raise spent(self.description, "add a method rewind() to it, or make a new one")
            self._reader.rewind()
        self._is_started = True
        samples = iter(self._reader.get_next, None)
        return ((f"sample {number}", sample) for number, sample in enumerate(samples))


class CallableSource:
    """A function that gives samples, called again whenever they are wanted again."""

    def __init__(
        self, function: Callable[[], object], open_: Callable[[object], Source], description: str
    ) -> None:
        self._function = function
        self._open = open_
        self._fresh: Source | None = open_(function())
        self.length = self._fresh.length
        self.description = description

    def digest(self, limit: int | None) -> None:
        """Not known without reading everything."""

    def read(self, notes: Notes) -> Iterator[tuple[str, object]]:
        """The samples of what the function returns."""
        source = self._fresh or self._open(self._function())
        self._fresh = None
        return source.read(notes)


def spent(description: str, remedy: str = "give a function that returns a new one") -> DataError:
    """The error for samples that could be read only once."""
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
