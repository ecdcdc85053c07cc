"""Opens one model, and ends: `python -m onnxq.engine.first_opening FILE BYTES`."""

from __future__ import annotations

import sys

from onnxq.engine.isolation import REFUSED
from onnxq.engine.session import open_session
from onnxq.errors import OnnxqError
from onnxq.graph import load
from onnxq.limits import limit_process


def main() -> int:
    """Open the model; a refusal is told on stdout."""
    _, path, memory = sys.argv
    limit_process(int(memory))
    try:
        open_session(load(path), threads=1)
    except (OnnxqError, MemoryError) as error:
        sys.stdout.write(str(error) or "not enough memory")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
