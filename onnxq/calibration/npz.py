"""Arrays of an .npz file, read a few rows at a time: compressed or not, never whole."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import DataError
from onnxq.limits import check_fits

_SUFFIX = ".npy"
_READ_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class NpzMember:
    """One array of an .npz file, still on disk.

    Attributes:
        path: The file.
        name: Name of the array.
        shape: Its shape.
        dtype: Its element type.
        is_row_major: Whether rows lie one after the other.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_row_major: bool

    def slices(self, rows: int) -> Iterator[NDArray[Any]]:
        """Consecutive slices of so many rows; a remainder is left out.

        Raises:
            DataError: The file is damaged.
        """
        if not self.is_row_major:
            array = self.whole()
            for start in range(0, len(array) - rows + 1, rows):
                yield array[start : start + rows]
            return
        shape = (rows, *self.shape[1:])
        size = self._fitting(shape)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.name + _SUFFIX) as file:
            _read_header(file)
            for _ in range(self.shape[0] // rows):
                yield np.frombuffer(self._exactly(file, size), self.dtype).reshape(shape)

    def whole(self) -> NDArray[Any]:
        """The whole array.

        Raises:
            DataError: The file is damaged.
        """
        self._fitting(self.shape)
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return np.asarray(archive[self.name])
        except _READ_ERRORS as error:
            raise _damaged(f"{self.path}, array '{self.name}'", error) from error

    def _fitting(self, shape: tuple[int, ...]) -> int:
        """Bytes of an array of that shape; few bytes of a file may unpack to more than fit."""
        size = prod(shape) * self.dtype.itemsize
        check_fits(size, f"{self.path}, array '{self.name}'", DataError)
        return size

    def _exactly(self, file: IO[bytes], size: int) -> bytearray:
        try:
            content = bytearray(file.read(size))
        except _READ_ERRORS as error:
            raise _damaged(f"{self.path}, array '{self.name}'", error) from error
        if len(content) < size:
            raise _damaged(f"{self.path}, array '{self.name}'", EOFError("it ends too early"))
        return content


def npz_members(path: Path) -> dict[str, NpzMember]:
    """The arrays of an .npz file by name; only their headers are read.

    Raises:
        DataError: It is no .npz file, or an array holds pickled objects.
    """
    members = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                name = entry.removesuffix(_SUFFIX)
                with archive.open(entry) as file:
                    shape, is_column_major, dtype = _read_header(file)
                members[name] = NpzMember(path, name, shape, dtype, not is_column_major)
    except _READ_ERRORS as error:
        raise _damaged(str(path), error) from error
    pickled = [name for name, member in members.items() if member.dtype.hasobject]
    if pickled:
        raise DataError(
            "holds pickled Python objects, which are not read from files",
            where=f"{path}, array '{pickled[0]}'",
            remedy="save plain arrays of numbers",
        )
    return members


def npz_digest(path: Path) -> str:
    """Digest of the arrays' names and checksums, from the file's directory alone."""
    with zipfile.ZipFile(path) as archive:
        entries = sorted((e.filename, e.CRC, e.file_size) for e in archive.infolist())
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"format version {version} is unknown")
    return _HEADERS[version](file)


def _damaged(where: str, error: BaseException) -> DataError:
    return DataError(
        "no arrays can be read",
        where=where,
        why=str(error) or type(error).__name__,
        remedy="write it with numpy.savez, with one array per input",
    )
