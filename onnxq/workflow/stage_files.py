"""Finished stages of a compression on disk: the model, and a note of what it is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from onnxq.errors import OutputError
from onnxq.graph import atomic_file, load, save
from onnxq.workflow.compress_stages import Done
from onnxq.workflow.verdict import Finding

_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def save_stage(folder: Path, name: str, key: str, done: Done, seconds: float) -> None:
    """Write a finished stage. The note comes last, so that a stage with a note is whole.

    Raises:
        OutputError: if it cannot be written.
    """
    note = folder / f"{name}.json"
    values = {
        "key": key,
        "text": done.text,
        "warnings": list(done.warnings),
        "gate": [asdict(finding) for finding in done.gate],
        "seconds": seconds,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        save(done.model, folder / f"{name}.onnx")
        with atomic_file(note) as file:
            file.write(json.dumps(values, indent=1).encode())
    except OSError as error:
        raise OutputError(
            "cannot be written", where=str(folder), why=error.strerror or str(error)
        ) from error


def load_stage(folder: Path, name: str, key: str) -> tuple[Done, float] | None:
    """Read a finished stage and the seconds it took; None if there is none with this key."""
    note = folder / f"{name}.json"
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
        if values["key"] != key:
            return None
        done = Done(
            model=load(folder / f"{name}.onnx"),
            text=str(values["text"]),
            warnings=tuple(map(str, values["warnings"])),
            gate=tuple(Finding(**finding) for finding in values["gate"]),
        )
        return done, float(values["seconds"])
    except _UNREADABLE:
        return None
