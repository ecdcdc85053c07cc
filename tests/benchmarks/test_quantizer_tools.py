"""What is told of another tool's run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from quantizer_tools import Job, Own, Peer, produce, without_folders


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Load model from /tmp/a/b.onnx failed", "Load model from b.onnx failed"),
        ("'/x/y/z.py', line 3:\n  bad", "'z.py', line 3: bad"),
        ("needs a/b or 3/4", "needs a/b or 3/4"),
    ],
)
def test_folders_are_left_out(message: str, expected: str) -> None:
    assert without_folders(message) == expected


def test_settings_become_a_file_for_the_command(tmp_path: Path) -> None:
    job = Job(tmp_path / "m.onnx", tmp_path / "c.npz", tmp_path / "o.onnx", Path(sys.executable))
    assert "--config" not in Own().command(job)
    line = Own(options=("--effort", "quick"), settings={"seed": 3}).command(job)
    assert line[-2:] == ["--effort", "quick"]
    assert Path(line[line.index("--config") + 1]).read_text() == '{"seed": 3}'


def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    job = Job(tmp_path / "m.onnx", tmp_path / "c.npz", tmp_path / "o.onnx", Path(sys.executable))
    (tmp_path / "broken.py").write_text("raise SystemExit('no such luck')")
    found = produce(Peer(str(tmp_path / "broken.py")), job, limit=30)
    assert (found.exit_code, found.bytes, found.remark) == (1, None, "no such luck")
    assert found.peak_megabytes > 1


def test_a_tool_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    job = Job(tmp_path / "m.onnx", tmp_path / "c.npz", tmp_path / "o.onnx", Path(sys.executable))
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    found = produce(Peer(str(tmp_path / "slow.py")), job, limit=0.5)
    assert (found.exit_code, found.bytes) == (-9, None)
    assert found.seconds < 30
