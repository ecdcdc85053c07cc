"""JSON that every parser reads: figures that are not finite become texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxq.errors import OutputError
from onnxq.graph import atomic_file


def json_text(values: Any) -> str:
    """Values as indented JSON, with a line break at the end.

    JSON (RFC 8259) has no infinity: it becomes `"Infinity"`, which `float` and `Number` read.
    """
    return json.dumps(_finite(values), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def save_json(values: Any, path: Path) -> Path:
    """Write values as JSON; an existing file is replaced in one step.

    Raises:
        OutputError: if the file cannot be written. Nothing is left behind.
    """
    return save_text(json_text(values), path)


def save_text(text: str, path: Path) -> Path:
    """Write a text; an existing file is replaced in one step.

    Raises:
        OutputError: if the file cannot be written. Nothing is left behind.
    """
    try:
        with atomic_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise OutputError(
            "cannot be written",
            where=str(path),
            why=error.strerror or str(error),
            remedy="free some space or choose another place",
        ) from error
    return path


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
