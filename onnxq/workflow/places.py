"""Where results go: checked before the work begins, so that it is not done in vain."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxq.errors import OutputError, UsageError
from onnxq.measure import file_size


def model_files(model: str | os.PathLike[str]) -> list[Path]:
    """The model's file and those that hold its external data.

    Raises:
        ModelError: if the model cannot be read, or a file is missing.
    """
    path = Path(model)
    return [path, *(path.parent / name for name in file_size(path).external)]


def check_places(*, read: Iterable[Path], written: Mapping[str, Path | None]) -> None:
    """Make sure that results can be written, and that none would replace an input or another.

    Args:
        read: The files that are read.
        written: The files to write, by the option that names them; None: not wanted.

    Raises:
        UsageError: if a file to write is one that is read, or is named twice.
        OutputError: if a folder is missing or not writable.
    """
    inputs = list(read)
    taken: dict[Path, str] = {}
    for option, path in written.items():
        if path is None:
            continue
        for source in inputs:
            if _is_same(path, source):
                raise UsageError(
                    f"would overwrite '{source}', which is read",
                    where=option,
                    remedy="choose another name; inputs are never changed",
                )
        twin = taken.setdefault(path.resolve(), option)
        if twin != option:
            raise UsageError(f"names the same file as {twin}", where=option)
        _check_writable(path, option)


def _is_same(path: Path, source: Path) -> bool:
    """Whether both name one file, through links too."""
    if path.exists() and source.exists():
        return path.samefile(source)
    return path.resolve() == source.resolve()


def _check_writable(path: Path, option: str) -> None:
    folder = path.absolute().parent
    problem = ""
    if path.is_dir():
        problem = "is a directory"
    elif not folder.is_dir():
        problem = "its folder does not exist"
    elif not os.access(folder, os.W_OK):
        problem = "its folder is not writable"
    if problem:
        raise OutputError(
            f"cannot be written: {problem}",
            where=f"{option} '{path}'",
            remedy="create the folder, or choose another place; nothing was done",
        )
