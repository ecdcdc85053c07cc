"""Peak resident memory of loading a model and running it, measured in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from onnxq.engine import Feed
from onnxq.errors import ModelError

_CLEAR = Path("/proc/self/clear_refs")
_PROBE = Path(__file__).with_name("resident_probe.py")
_PACKAGES = Path(__file__).parents[2]


def peak_memory(model: Path, feed: Feed, *, threads: int) -> int | None:
    """Bytes that loading and running a model adds at its peak; None if the system does not tell.

    Raises:
        ModelError: if the process fails.
    """
    if not _CLEAR.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        inputs = Path(folder) / "feed.npz"
        # Keys of an archive are paths, and names of inputs may hold anything.
        arrays: dict[str, Any] = {f"input{i}": value for i, value in enumerate(feed.values())}
        np.savez(inputs, **arrays)
        names = [name.encode().hex() for name in feed]
        command = [sys.executable, "-P", str(_PROBE), str(model), str(inputs), str(threads), *names]
        # Run as a file: what the gates import would take more time than the measurement.
        known = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": known},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ModelError(
            "memory cannot be measured",
            where=str(model),
            why=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it was killed",
            remedy="run it with `onnxq bench`",
        )
    return int(done.stdout)
