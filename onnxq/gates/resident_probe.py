"""Run as a program in a new process: loads a model, runs it, and prints the peak memory it added.

Linux keeps the peak of a process as VmHWM and sets it back when 5 is written to `clear_refs`
(proc(5)), so what the interpreter took before does not count.

Arguments: the model, an .npz file with `input0`, `input1` and so on, the number of threads, and the
names of the inputs as hexadecimal digits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from onnxq.engine import open_session, runner

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RUNS = 3


def peak_bytes(model: str, inputs: str, threads: str, *names: str) -> int:
    """Bytes that loading the model and running it adds to this process at its peak."""
    with np.load(inputs, allow_pickle=False) as archive:
        values = [archive[f"input{index}"] for index in range(len(names))]
    feed = {bytes.fromhex(name).decode(): v for name, v in zip(names, values, strict=True)}
    before = _kilobytes("VmRSS")
    _CLEAR.write_text("5", encoding="ascii")
    run = runner(open_session(model, threads=int(threads)))
    for _ in range(_RUNS):
        run(feed)
    return max(0, _kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    sys.stdout.write(str(peak_bytes(*sys.argv[1:])))
