"""Checkpoints: what a training needs to go on as if it had not been stopped."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from onnxq.errors import DataError
from onnxq.graph import atomic_file

_VERSION = 1
_FILE = "training.pt"
_UNREADABLE = (OSError, RuntimeError, LookupError, TypeError, EOFError, ValueError, UnpicklingError)


def save_checkpoint(directory: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before is replaced in one step.

    Args:
        directory: Where; made if it does not exist.
        key: Tells what is trained, on what and how.
        state: Tensors, numbers and text in dicts and lists.
    """
    directory.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"version": _VERSION, "key": key, "state": dict(state)}, buffer)
    with atomic_file(directory / _FILE) as file:
        file.write(buffer.getvalue())


def load_checkpoint(directory: Path, key: str) -> dict[str, Any] | None:
    """Read a checkpoint; None if there is none.

    Raises:
        DataError: It cannot be read, or belongs to another training.
    """
    path = directory / _FILE
    if not path.exists():
        return None
    try:
        found = torch.load(path, weights_only=True)
        version, found_key, state = found["version"], found["key"], dict(found["state"])
    except _UNREADABLE as error:
        raise DataError(
            "is no checkpoint that can be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}".splitlines()[0],
            remedy="remove it to begin anew",
        ) from error
    if (version, found_key) != (_VERSION, key):
        raise DataError(
            "the checkpoint is of another training",
            where=str(path),
            why="model, data or settings differ from those it was written with",
            remedy="name another directory in finetune.checkpoints, or remove the file",
        )
    return state
