"""The fuzzers are scripts beside the package; a source archive carries the tests without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
BENCHMARKS = _ROOT / "benchmarks"

collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_mutated_*.py"]

Fuzz = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fuzz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fuzz:
    """Run a fuzzer on some cases in a process of its own, which forks workers."""
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(script: str, first: int, cases: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(BENCHMARKS / script), "--state", str(tmp_path / "state")]
        span = ["--first", str(first), "--cases", str(first + cases), "--seconds", "1000"]
        return subprocess.run(
            [*command, *span], capture_output=True, text=True, timeout=280, check=False
        )

    return run
