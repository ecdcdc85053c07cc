from __future__ import annotations

import signal
import subprocess
import time

import pytest

_SLOW = """
import pathlib, time
import numpy as np

def samples():
    for index in range(1000):
        yield {"image": np.zeros((1, 1, 8, 8), np.float32)}
        pathlib.Path("started").touch()
        time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "onnxq: interrupted; nothing was written\n"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_interrupt_while_calibrating_leaves_nothing(place, number, code, text):
    (place / "slow.py").write_text(_SLOW)
    temporary = place / "temporary"
    temporary.mkdir()
    arguments = ["quantize", "model.onnx", "--calibration", "slow:samples", "--samples", 1000]
    process = subprocess.Popen(
        place.command([*arguments, "--report", "report.json"]),
        cwd=place.path,
        env={**place.environment, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Whoever runs the tests may ignore interrupts, which processes inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (place / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert (out, err) == ("", text)
    # The engine keeps a file of its own in the temporary directory.
    left = {path.name for path in place.path.iterdir()} - {"__pycache__", ".ses"}
    assert left == {"model.onnx", "samples.npz", "config.yaml", "slow.py", "started", "temporary"}
    assert not list(temporary.glob("onnxq*"))
