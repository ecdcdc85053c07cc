"""Runs quantizers, each in a process of its own, and says what they took.

Peers live in an environment of their own, made in the cache when missing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_cache import Cache

HERE = Path(__file__).resolve().parent
ENVIRONMENT = "quantizers_env"
# ONNX Runtime's own HQQ is written in torch.
REQUIREMENTS = (
    "onnxruntime==1.31.1",
    "onnx==1.23.2",
    "onnx-ir==1.1.0",
    "sympy==1.14.0",
    "nncf==3.4.0",
    "torch==2.13.0",
)


@dataclass(frozen=True)
class Job:
    """One model to be quantized. `python` is the interpreter of the peers."""

    model: Path
    calibration: Path
    out: Path
    python: Path


@dataclass(frozen=True)
class Produced:
    """What came of a job; `remark` says what went wrong, if anything.

    Attributes:
        seconds: Wall time of the whole process.
        peak_megabytes: The most memory that was resident, of the whole process.
        exit_code: Negative if it was stopped.
        bytes: Size of the file, None without one.
    """

    seconds: float
    peak_megabytes: int
    exit_code: int
    bytes: int | None
    remark: str


@dataclass(frozen=True)
class Peer:
    """Another quantizer: one of our scripts that calls it, and its options."""

    script: str
    options: tuple[str, ...] = ()
    calibrates: bool = True

    def command(self, job: Job) -> list[str]:
        """The command line."""
        data = ["--calibration", str(job.calibration)] if self.calibrates else []
        line = [str(job.python), "-W", "ignore", str(HERE / self.script), str(job.model), *data]
        return [*line, *self.options, "--out", str(job.out)]


@dataclass(frozen=True)
class Own:
    """`onnxq quantize`, with options and settings if it is not the default command.

    Attributes:
        options: Of the command line.
        settings: Written to a file for `--config`; paths in it are absolute.
        needs: An option without which this version cannot do it.
    """

    options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""

    def command(self, job: Job) -> list[str]:
        """The command line; settings are written beside the output."""
        line = [sys.executable, "-m", "onnxq", "quantize", str(job.model), "-o", str(job.out)]
        line += ["--calibration", str(job.calibration), "--json"]
        line += ["--report", str(job.out.with_suffix(".report.json"))]
        if self.settings:
            config = job.out.with_suffix(".config.json")
            config.write_text(json.dumps(self.settings))
            line += ["--config", str(config)]
        return [*line, *self.options]


Tool = Peer | Own


def peers_python(cache: Path) -> Path:
    """Return the interpreter of the peers, made when missing."""
    return Cache(cache).environment(ENVIRONMENT, REQUIREMENTS)


def own_options() -> str:
    """Return the help text of the command, to see which options it knows."""
    command = [sys.executable, "-m", "onnxq", "quantize", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def produce(tool: Tool, job: Job, limit: float) -> Produced:
    """Run one tool on one model, stopping it after `limit` seconds.

    An exit code other than 0 beside a file is the tool's own judgement of the file.
    """
    job.out.parent.mkdir(parents=True, exist_ok=True)
    job.out.unlink(missing_ok=True)
    command = tool.command(job)
    messages = job.out.with_suffix(".stderr")
    start = time.perf_counter()
    # Some leave files of their own in the working directory.
    with tempfile.TemporaryDirectory() as folder, messages.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, cwd=folder, env=_environment(tool)
        )
        timer = threading.Timer(limit, process.kill)
        timer.start()
        # wait4 alone tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    size = job.out.stat().st_size if job.out.exists() else None
    return Produced(
        seconds=round(time.perf_counter() - start, 2),
        peak_megabytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) // 2**20,
        exit_code=process.returncode,
        bytes=size,
        remark=_remark(process.returncode, size, messages, job.out, limit),
    )


def _environment(tool: Tool) -> dict[str, str]:
    """Ours is found where this file lies, also when it is not installed; peers report nothing."""
    if isinstance(tool, Peer):
        return {**os.environ, "NNCF_CI": "1"}
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _remark(code: int, size: int | None, messages: Path, out: Path, limit: float) -> str:
    if code == -9:
        return f"stopped after {limit:.0f} s, or for its memory"
    if code == 0 and size is not None:
        return ""
    report = out.with_suffix(".report.json")
    if size is not None and report.exists():
        found = json.loads(report.read_text()).get("verdict", [])
        return "; ".join(str(f["text"]) for f in found if f["passed"] is False)[:300]
    lines = messages.read_text(errors="replace").strip().splitlines()
    return without_folders(lines[-1] if lines else "no file, no message")


def without_folders(message: str, length: int = 300) -> str:
    """One line of a message in which files go by their names alone."""
    return re.sub(r"(?<![\w.])/(?:[^\s/:'\"]+/)+", "", " ".join(message.split()))[:length]
