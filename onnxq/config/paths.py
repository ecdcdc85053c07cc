"""Values that name a file or a Python function."""

from __future__ import annotations

import os
from pathlib import Path

_LABEL_FILES = (".npy", ".npz", ".txt", ".csv")


def is_function(value: str) -> bool:
    """Whether a value has the form `module:function`."""
    module, _, function = value.partition(":")
    return function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def data_inside(directory: Path, value: str) -> str:
    """A path taken from a directory; `module:function`, `~/…` and absolute paths stay."""
    return value if is_function(value) else str(directory / Path(value).expanduser())


def labels_inside(directory: Path, value: str) -> str:
    """As for data, if the suffix tells that it is a file; else it is a key of the data."""
    is_file = Path(value).suffix.lower() in _LABEL_FILES
    return data_inside(directory, value) if is_file else value


def target_inside(directory: Path, value: str) -> str:
    """As for data, if it is a file; else it is the name of a bundled target."""
    is_file = Path(value).suffix == ".toml"
    return data_inside(directory, value) if is_file else value


def seen_from(directory: Path, value: str) -> str:
    """How to write the path of an existing file in a configuration that lies in a directory.

    Whatever names no file stays: a function, the key of an array, the name of a target.
    """
    if is_function(value) or not Path(value).exists():
        return value
    return os.path.relpath(value, directory)
