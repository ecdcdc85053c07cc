"""What a model may take of the machine, and what happens when it asks for more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx.parser import parse_model

from onnxq.engine import Loads, LoadsNot, OpeningLimits, loads_safely
from onnxq.errors import ModelError, UsageError
from onnxq.limits import check_fits, memory_limit


def test_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_limit() > 10**8
    monkeypatch.setenv("ONNXQ_MEMORY_LIMIT", "2 GB")
    assert memory_limit() == 2 * 10**9
    check_fits(2 * 10**9, "it")
    with pytest.raises(ModelError, match=r"it: would take 2,000,000,001 bytes.*ONNXQ_MEMORY_LIMIT"):
        check_fits(2 * 10**9 + 1, "it")
    for wrong in ("much", "-1GB", "0", "1PB"):
        monkeypatch.setenv("ONNXQ_MEMORY_LIMIT", wrong)
        with pytest.raises(UsageError, match="is no size of memory"):
            memory_limit()


def written(path: Path, text: str) -> Path:
    path.write_bytes(parse_model(text).SerializeToString())
    return path


HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[A] y)'
SOUND = f"{HEAD} {{ y = Relu (x) }}"
BOMB = f"""{HEAD} <int64[1] n = {{400000000}}>
    {{ a = ConstantOfShape (n) y = Concat <axis = 0> (a, x) }}"""


def test_a_sound_model_loads(tmp_path: Path) -> None:
    assert loads_safely(written(tmp_path / "m.onnx", SOUND)) == Loads()


def test_a_refusal_tells_its_reason(tmp_path: Path) -> None:
    text = f"{HEAD} {{ a = Relu (x) y = Add (a, nowhere) }}"
    found = loads_safely(written(tmp_path / "m.onnx", text))
    assert isinstance(found, LoadsNot)
    assert not found.died
    assert "'nowhere'" in found.reason
    missing = loads_safely(tmp_path / "none.onnx")
    assert isinstance(missing, LoadsNot)
    assert "no such file" in missing.reason


def test_time_is_limited(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", SOUND)
    found = loads_safely(path, OpeningLimits(seconds=0.01))
    assert found == LoadsNot("it was not opened within 0.01 seconds", died=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is allocated")
def test_memory_is_limited(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", SOUND)
    found = loads_safely(path, OpeningLimits(memory=20_000_000))
    assert isinstance(found, LoadsNot)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is allocated")
def test_a_bomb_is_an_error_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.6 GB come out of a file of a hundred bytes; the command may take one."""
    path = written(tmp_path / "bomb.onnx", BOMB)
    monkeypatch.setenv("ONNXQ_MEMORY_LIMIT", "1GB")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [sys.executable, "-m", "onnxq", "simplify", str(path), "--no-measure"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    result = tmp_path / "bomb.simplified.onnx"
    assert not result.exists() or result.stat().st_size < 10_000
    assert onnx.load(path)


def test_a_limit_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXQ_MEMORY_LIMIT", "much")
    command = [sys.executable, "-m", "onnxq", "inspect", str(tmp_path / "none.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "ONNXQ_MEMORY_LIMIT: 'much' is no size of memory" in done.stderr
