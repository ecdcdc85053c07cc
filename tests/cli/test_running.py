from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

import onnxq

LIMIT_SECONDS = 1.0
"""Of `--help`; it takes 0.1 s where nothing else runs."""


def test_help_is_immediate(place):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = place.run("--help")
        seconds.append(time.perf_counter() - started)
    assert done.code == 0
    assert "quantize" in done.out and "Exit codes" in done.out
    assert statistics.median(seconds) < LIMIT_SECONDS


@pytest.mark.parametrize(
    "arguments", [("--help",), ("quantize", "--help"), ("config", "show", "--help")]
)
def test_help_imports_nothing_heavy(place, arguments):
    program = (
        "import sys, json\nfrom onnxq.cli import main\n"
        f"main({list(arguments)!r})\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "print(json.dumps(sorted(heavy)))"
    )
    done = _python(place, program)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_torch_is_never_imported(place):
    program = (
        "import sys\nfrom onnxq.cli import main\n"
        "code = main(['-q', 'quantize', 'model.onnx', '-c', 'config.yaml'])\n"
        "print(code, 'torch' in sys.modules)"
    )
    assert _python(place, program).stdout.split() == ["0", "False"]


def test_version(place):
    done = place.run("--version")
    assert (done.code, done.out.strip()) == (0, f"onnxq {onnxq.__version__}")


def test_without_command_help_is_shown_as_an_error(place):
    for arguments in ((), ("config",)):
        done = place.run(*arguments)
        assert done.code == 2
        assert "Usage: onnxq" in done.err
        assert done.out == ""


def test_defect_saves_its_traceback(place):
    done = _python(place, _BROKEN.format(options=["plan", "model.onnx"]))
    assert done.returncode == 70
    assert "this is a defect of onnxq" in done.stderr
    assert "Traceback" not in done.stderr
    saved = next(place.path.glob("onnxq-defect-*.txt"))
    assert str(saved) in done.stderr
    text = saved.read_text()
    for expected in ("Traceback", "KeyError: 'lost'", "python:", "onnxruntime:", "command:"):
        assert expected in text


def test_very_verbose_shows_tracebacks(place):
    done = _python(place, _BROKEN.format(options=["-vv", "plan", "model.onnx"]))
    assert "Traceback" in done.stderr
    done = place.run("plan", "none.onnx", "-vv")
    assert (done.code, "Traceback" in done.err) == (3, True)


def test_closed_pipe_is_no_failure(place):
    process = subprocess.Popen(
        place.command(["targets", "ort-cpu"]),
        cwd=place.path,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert errors == b""


_BROKEN = """
import sys, onnxq.workflow
def broken(*arguments):
    raise KeyError("lost")
onnxq.workflow.plan_only = broken
from onnxq.cli import main
sys.exit(main({options}))
"""


def _python(place, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=place.path,
        env={**place.environment, "TMPDIR": str(place.path)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
