"""A command whose work dies of a signal ends with an error in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from onnx.parser import parse_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is supervised")

_WORK = """
import ctypes, os, signal, sys, time
from onnxq.cli.supervising import supervised

def work():
    print(os.getpid(), flush=True)
    {body}
    return 1

sys.exit(supervised(work))
"""
_SLEEP = "time.sleep(60)"


def start(body: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORK.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("pass", 1, ""),
        ("sys.exit(5)", 5, ""),
        ("ctypes.string_at(0)", 3, "crashed in the engine or a library of it (SIGSEGV)"),
        ("os.abort()", 3, "(SIGABRT): the model is damaged"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 3, "run out of memory"),
        ("os._exit(127)", 3, "ONNXQ_MEMORY_LIMIT"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
    ],
)
def test_endings(body: str, code: int, words: str) -> None:
    process = start(body)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, words in err, bool(err)) == (code, True, bool(words))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once(number: signal.Signals) -> None:
    count = "c = []; signal.signal({0}, lambda *_: c.append(1)); print('ready', flush=True); "
    body = count.format(int(number)) + "time.sleep(1); time.sleep(1); sys.exit(40 + len(c))"
    process = start(body)
    assert process.stdout is not None
    assert [process.stdout.readline(), process.stdout.readline()][1] == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 41


def test_the_child_ends_with_its_parent() -> None:
    process = start(_SLEEP)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert child != process.pid
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_it_can_be_switched_off() -> None:
    process = start("pass", ONNXQ_SUPERVISED="0")
    out, _ = process.communicate(timeout=60)
    assert int(out) == process.pid


def test_a_model_that_crashes_the_engine(tmp_path: Path) -> None:
    """A negative size, which ONNX Runtime's inference of Slice clamps to an empty interval."""
    model = parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 4] x) => (float[A, 4] y)
        <int64[2] twice = {-5, 1}, int64[1] zero = {0}, int64[1] one = {1}> {
          a = Tile (x, twice)
          y = Slice (a, zero, one, zero)
        }""")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    command = [sys.executable, "-m", "onnxq", "simplify", str(tmp_path / "m.onnx"), "--no-measure"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done
    assert "Traceback" not in done.stderr
    assert done.stderr.count("onnxq: error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
