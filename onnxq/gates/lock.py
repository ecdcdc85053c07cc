"""The lock file: a baseline in figures, as text in a stable order, to be reviewed like code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from onnxq.errors import DataError
from onnxq.gates.context import Context
from onnxq.gates.evidence import BaselineLock
from onnxq.gates.figures import Figures

VERSION = 1
DEFAULT_NAME = "onnxq.lock.json"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _Document:
    """What a lock file holds."""

    version: int
    model: str
    figures: Figures
    context: Context


_ADAPTER = TypeAdapter(_Document)


def lock_facts(model: Path, figures: Figures, context: Context) -> dict[str, Any]:
    """What a lock file records.

    Args:
        model: The model's file, of which the name is kept.
        figures: Its figures.
        context: Where they were found.
    """
    return {
        "version": VERSION,
        "model": model.name,
        "figures": figures.to_dict(),
        "context": context.to_dict(),
    }


def read_lock(path: Path) -> BaselineLock:
    """Read a lock file.

    Raises:
        DataError: if there is none, or it is not one.
    """
    remedy = "write it with `onnxq check --update-baseline`"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            "the lock file cannot be read", where=str(path), why=reason, remedy=remedy
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError("is not JSON", where=str(path), why=str(error), remedy=remedy) from error
    version = facts.get("version") if isinstance(facts, dict) else None
    if version != VERSION:
        raise DataError(f"is not a lock file of version {VERSION}", where=str(path), remedy=remedy)
    try:
        document = _ADAPTER.validate_python(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(
            f"bad lock file: {first['msg']}", where=f"{path}: {key}", remedy=remedy
        ) from error
    return BaselineLock(path, document.figures, document.context.data)
