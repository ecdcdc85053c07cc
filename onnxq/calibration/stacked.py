"""Samples stacked in one array per input: .npz and .npy files, and arrays in memory.

An array with one axis more than the input is divided along its first axis. An array with the
rank of the input is a long batch, and is cut into slices of the model's batch (1 if that is
free). One axis less is a single sample without a batch axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from onnxq.calibration.arrays import nearest
from onnxq.calibration.sources import Labelled
from onnxq.engine import InputSpec
from onnxq.errors import DataError


class Column(Protocol):
    """One stacked array, in memory or in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its whole shape."""

    def slices(self, rows: int) -> Iterator[NDArray[Any]]:
        """Consecutive slices of so many rows; a remainder is left out."""

    def whole(self) -> NDArray[Any]:
        """The whole array."""


@dataclass(frozen=True, eq=False)
class MemoryColumn:
    """An array in memory, or mapped from a file."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its whole shape."""
        return self.array.shape

    def slices(self, rows: int) -> Iterator[NDArray[Any]]:
        """Consecutive slices of so many rows; a remainder is left out."""
        for start in range(0, len(self.array) - rows + 1, rows):
            yield self.array[start : start + rows]

    def whole(self) -> NDArray[Any]:
        """The whole array."""
        return self.array


@dataclass(frozen=True)
class _Whole:
    """The array is one sample."""

    count: int = 1
    left_over: int = 0

    def samples(self, column: Column) -> Iterator[NDArray[Any]]:
        yield column.whole()


@dataclass(frozen=True)
class _Rows:
    """Every row is a sample."""

    count: int
    left_over: int = 0

    def samples(self, column: Column) -> Iterator[NDArray[Any]]:
        return (rows[0] for rows in column.slices(1))


@dataclass(frozen=True)
class _Slices:
    """Every slice of `batch` rows is a sample."""

    count: int
    left_over: int
    batch: int

    def samples(self, column: Column) -> Iterator[NDArray[Any]]:
        return column.slices(self.batch)


_Cut = _Whole | _Rows | _Slices


class StackedSource:
    """Samples cut from one array per input.

    Attributes:
        description: A few words for messages and reports.
        digest: Digest of the arrays, if it is known.
        length: How many samples the arrays hold.
        ignored: Names of the arrays that are no inputs, such as labels.

    Raises:
        DataError: An input has no array or one of the wrong rank, or the arrays hold different
            numbers of samples.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        specs: Sequence[InputSpec],
        description: str,
        digest: str | None = None,
    ) -> None:
        self.description = description
        self.digest = digest
        names = _names(columns, specs, description)
        self.ignored = tuple(name for name in columns if name not in names.values())
        self._columns = {spec.name: columns[names[spec.name]] for spec in specs}
        self._cuts = {
            spec.name: _cut(self._columns[spec.name].shape, spec, description) for spec in specs
        }
        self.length: int | None = self._count()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        left_out = [
            f"input '{name}': the last {cut.left_over} row(s) do not fill the model's batch"
            " and are left out"
            for name, cut in self._cuts.items()
            if cut.left_over
        ]
        if self.ignored:
            listed = ", ".join(f"'{name}'" for name in self.ignored)
            left_out.append(f"arrays that are no inputs are ignored: {listed}")
        return tuple(left_out)

    def read(self) -> Labelled:
        """The samples, numbered from 0."""
        parts = [cut.samples(self._columns[name]) for name, cut in self._cuts.items()]
        for number, arrays in enumerate(zip(*parts, strict=True)):
            yield f"sample {number}", dict(zip(self._cuts, arrays, strict=True))

    def _count(self) -> int:
        counts = {name: cut.count for name, cut in self._cuts.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                "the inputs have different numbers of samples",
                where=self.description,
                why=", ".join(f"'{name}' has {count}" for name, count in counts.items()),
                remedy="stack the same samples for every input",
            )
        return next(iter(counts.values()), 0)


def _names(columns: Mapping[str, Column], specs: Sequence[InputSpec], where: str) -> dict[str, str]:
    """Which array belongs to which input."""
    if len(specs) == len(columns) == 1:
        return {specs[0].name: next(iter(columns))}
    for spec in specs:
        if spec.name not in columns:
            given = ", ".join(f"'{name}'" for name in columns) or "none"
            raise DataError(
                f"there is no array for input '{spec.name}'",
                where=where,
                why=f"the arrays are {given}",
                remedy=f"{nearest(spec.name, columns)}name the arrays like the model's inputs",
            )
    return {spec.name: spec.name for spec in specs}


def _cut(shape: tuple[int, ...], spec: InputSpec, where: str) -> _Cut:
    rank = len(spec.shape)
    if len(shape) == rank + 1:
        return _Rows(shape[0])
    if len(shape) == rank - 1 or not shape:
        return _Whole()
    if len(shape) == rank:
        batch = spec.shape[0] if isinstance(spec.shape[0], int) else 1
        return _Slices(shape[0] // batch, shape[0] % batch, batch)
    raise DataError(
        f"the array has {len(shape)} axes, the input {rank}",
        where=f"{where}, input '{spec.name}'",
        why=f"the array's shape is {list(shape)}",
        remedy="stack samples along a first axis, or give one long batch",
    )
