"""The first opening of a model from anywhere, in a process that may die.

A model can crash the engine, which no error handling survives, or let it take all memory and time
while it optimizes. Whoever must not die of it asks another process first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onnxq.limits import memory_limit

REFUSED = 3
"""Exit code of the process where it has a reason to tell."""

_SECONDS = 120.0
_MODULE = "onnxq.engine.first_opening"


@dataclass(frozen=True)
class Loads:
    """The engine opens the model."""


@dataclass(frozen=True)
class LoadsNot:
    """The engine does not open the model.

    Attributes:
        reason: Its own words, or how its process ended.
        died: Whether it crashed or was stopped, instead of refusing the model.
    """

    reason: str
    died: bool


FirstOpening: TypeAlias = Loads | LoadsNot


@dataclass(frozen=True)
class OpeningLimits:
    """What the process that opens the model may use.

    Attributes:
        seconds: Of time.
        memory: Bytes that it may allocate; None: as `ONNXQ_MEMORY_LIMIT` says.
    """

    seconds: float = _SECONDS
    memory: int | None = None


def loads_safely(path: str | os.PathLike[str], limits: OpeningLimits | None = None) -> FirstOpening:
    """Whether onnxq reads a model and the engine opens it, found out in a process of its own.

    Args:
        path: The model's file.
        limits: What the process may use.
    """
    given = limits or OpeningLimits()
    memory = memory_limit() if given.memory is None else given.memory
    command = [sys.executable, "-m", _MODULE, str(Path(path).resolve()), str(memory)]
    # Where onnxq itself was found, the process finds it too, and nothing in the caller's folder.
    found = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, found)),
        "PYTHONSAFEPATH": "1",
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=given.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return LoadsNot(f"it was not opened within {given.seconds:g} seconds", died=True)
    if done.returncode == 0:
        return Loads()
    if done.returncode == REFUSED:
        return LoadsNot(done.stdout.decode(errors="replace").strip(), died=False)
    return LoadsNot(f"the engine's process ended with {_ending(done.returncode)}", died=True)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    known = {s.value: s.name for s in signal.Signals}
    return known.get(-code, f"signal {-code}")
