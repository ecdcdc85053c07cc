"""Reading labels: from the archive that holds the inputs, or from a file of their own."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import DataError

_UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile)


def load_labels(
    labels: str, *, data: Path | None = None, directory: Path | None = None
) -> NDArray[Any]:
    """Read the labels of an evaluation set.

    Args:
        labels: A path ending in .npy, .npz, .txt or .csv, else a key of the archive `data`.
            A text file holds one label per line. A .csv file holds the label in its last
            column, below an optional header line. An .npz file holds one array, or one
            called `labels`.
        data: The archive that holds the inputs.
        directory: Where a relative path starts; the working directory by default.

    Returns:
        Labels in the order of the samples: shape [N] for classes, int64 if all are whole
        numbers in text, else float64; arrays as they are stored.

    Raises:
        DataError: if the file or key does not exist or holds no numbers.
    """
    path = Path(directory or "", labels)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        return _from_archive(labels, data)
    if not path.is_file():
        raise DataError("there is no label file", where=str(path), remedy="check evaluate.labels")
    try:
        return _checked(reader(path), str(path))
    except _UNREADABLE as error:
        raise DataError("the labels cannot be read", where=str(path), why=str(error)) from error


def _from_archive(key: str, data: Path | None) -> NDArray[Any]:
    if data is None or data.suffix.lower() != ".npz":
        raise DataError(
            f"'{key}' is no label file",
            where="evaluate.labels",
            why="a key needs the evaluation data to be an .npz archive",
            remedy="name a .npy, .npz, .txt or .csv file",
        )
    if not data.is_file():
        raise DataError("there is no such data file", where=str(data))
    try:
        with np.load(data, allow_pickle=False) as archive:
            if key in archive:
                return _checked(archive[key], f"{data}, '{key}'")
            held = ", ".join(sorted(archive)) or "nothing"
    except _UNREADABLE as error:
        raise DataError("the labels cannot be read", where=str(data), why=str(error)) from error
    raise DataError(
        f"the archive has no array '{key}'",
        where=str(data),
        why=f"it holds {held}",
        remedy="set evaluate.labels to one of these",
    )


def _checked(labels: NDArray[Any], where: str) -> NDArray[Any]:
    if labels.dtype.kind not in "iufb":
        raise DataError(
            f"labels of type {labels.dtype} cannot be scored",
            where=where,
            remedy="store class indices or target values as numbers",
        )
    if labels.ndim == 0 or not labels.size:
        raise DataError("there are no labels", where=where)
    return labels


def _read_npy(path: Path) -> NDArray[Any]:
    loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    return loaded


def _read_npz(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        keys = list(archive)
        key = keys[0] if len(keys) == 1 else "labels"
        if key not in archive:
            raise ValueError(f"it holds {', '.join(sorted(keys))} and none is called 'labels'")
        loaded: NDArray[Any] = archive[key]
        return loaded


def _read_text(path: Path) -> NDArray[Any]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return _numbers([line.strip() for line in lines if line.strip()])


def _read_csv(path: Path) -> NDArray[Any]:
    with path.open(encoding="utf-8", newline="") as file:
        cells = [row[-1].strip() for row in csv.reader(file) if row]
    return _numbers(cells[1:] if cells and not _is_number(cells[0]) else cells)


def _numbers(texts: list[str]) -> NDArray[Any]:
    for line, text in enumerate(texts, start=1):
        if not _is_number(text):
            raise ValueError(f"label {line} is '{text}', not a number")
    values = np.array([float(text) for text in texts])
    whole = values.astype(np.int64)
    return whole if np.array_equal(whole, values) else values


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


_READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".txt": _read_text,
    ".csv": _read_csv,
}
