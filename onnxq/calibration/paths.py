"""From a path to its samples: one file, or a directory of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxq.calibration.files import (
    SINGLE_ARRAY_SUFFIXES,
    FilesSource,
    NpzFilesSource,
    files_digest,
    load_npy,
    natural_order,
)
from onnxq.calibration.images import IMAGE_SUFFIXES
from onnxq.calibration.npz import npz_digest, npz_members
from onnxq.calibration.sources import Source
from onnxq.calibration.stacked import MemoryColumn, StackedSource
from onnxq.config import Preprocessing
from onnxq.engine import InputSpec
from onnxq.errors import DataError

_KINDS = "an .npz or .npy file, an image, or a directory of such files"


def source_at(
    path: Path, specs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Source:
    """The samples at a path.

    Args:
        path: A file or directory.
        specs: The model's inputs.
        preprocessing: How image files become inputs.

    Raises:
        DataError: There is nothing, or nothing that can be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _from_directory(path, specs, preprocessing)
    if not path.exists():
        raise DataError("no such file or directory", where=str(path), remedy=f"give {_KINDS}")
    if suffix == ".npz":
        return StackedSource(npz_members(path), specs, str(path), npz_digest(path))
    if suffix == ".npy":
        columns = {path.stem: MemoryColumn(load_npy(path))}
        return StackedSource(columns, specs, str(path), files_digest([path]))
    if suffix in IMAGE_SUFFIXES and len(specs) == 1:
        return FilesSource({specs[0].name: [path]}, specs, path, preprocessing)
    raise DataError("is no file of samples", where=str(path), remedy=f"give {_KINDS}")


def _from_directory(
    folder: Path, specs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Source:
    archives = _files(folder, frozenset({".npz"}))
    arrays = _files(folder, SINGLE_ARRAY_SUFFIXES)
    if archives and arrays:
        raise DataError(
            "holds both .npz files and single arrays or images",
            where=str(folder),
            why=f"for example {archives[0].name} and {arrays[0].name}",
            remedy="keep one kind of samples in the directory",
        )
    if archives:
        return NpzFilesSource(archives, specs, folder)
    if arrays and len(specs) == 1:
        return FilesSource({specs[0].name: arrays}, specs, folder, preprocessing)
    parts = {spec.name: _files(folder / spec.name, SINGLE_ARRAY_SUFFIXES) for spec in specs}
    if all(parts.values()):
        return FilesSource(parts, specs, folder, preprocessing)
    raise _nothing_in(folder, specs)


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """The visible files of these types, in natural order."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return sorted((p for p in found if p.is_file() and p.name[0] != "."), key=natural_order)


def _nothing_in(folder: Path, specs: Sequence[InputSpec]) -> DataError:
    names = ", ".join(f"'{spec.name}'" for spec in specs)
    present = sorted(path.name for path in folder.iterdir())[:5]
    single = "put .npy, .npz or image files into it"
    several = f"give an .npz file per sample, or a subdirectory for each of {names}"
    return DataError(
        "holds no samples for this model",
        where=str(folder),
        why=f"it holds {', '.join(present)}" if present else "it is empty",
        remedy=single if len(specs) == 1 else several,
    )
