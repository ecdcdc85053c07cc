"""The action and the pre-commit hook as others use them: installed from this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with what a release of this one holds."""
    place = tmp_path / "onnxq"
    place.mkdir()
    kept = shutil.ignore_patterns("__pycache__", "*.int8.onnx")
    for name in ("onnxq", "samples"):
        shutil.copytree(ROOT / name, place / name, ignore=kept)
    for name in ("pyproject.toml", "README.md", "LICENSE", "action.yml", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, place / name)
    commit(place)
    return place


def commit(place: Path) -> None:
    settings = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    commands = (("init", "-q", "-b", "main"), ("add", "."), (*settings, "commit", "-qm", "all"))
    for command in commands:
        subprocess.run(["git", *command], cwd=place, env=clean(), check=True)


def clean() -> dict[str, str]:
    """Without what git and the tests themselves add."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PYTHON", "PRE_"))}


def test_the_action_installs_what_it_runs(
    source: Path, tmp_path: Path, small: Callable[..., onnx.ModelProto], composite: Any
) -> None:
    """Into a virtual environment that sees the libraries here, so that only onnxq is new."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (packages / "seen.pth").write_text(sysconfig.get_path("purelib"))
    workspace = tmp_path / "work"
    workspace.mkdir()
    onnx.save(small(), workspace / "model.onnx")
    commit(workspace)
    runner = composite(workspace)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    runner.environment = {**clean(), "PATH": path}
    done = runner.run(source / "action.yml", model="model.onnx", baseline_ref="main")
    assert done.code == 0, done.log
    assert done.outputs["outcome"] == "passed"
    assert (programs / "onnxq").exists()


def pre_commit(place: Path, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**clean(), "PRE_COMMIT_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *map(str, arguments)],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_the_hook_guards_commits(
    source: Path, tmp_path: Path, small: Callable[..., onnx.ModelProto]
) -> None:
    pytest.importorskip("pre_commit")
    place = tmp_path / "work"
    place.mkdir()
    onnx.save(small(), place / "model.onnx")
    (place / "gates.yaml").write_text("size: {max_bytes: 100000}\n")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True
    ).stdout.strip()
    hook = {"id": "onnxq-check", "args": ["model.onnx", "--config", "gates.yaml"]}
    document = {"repos": [{"repo": str(source), "rev": head, "hooks": [hook]}]}
    (place / ".pre-commit-config.yaml").write_text(yaml.safe_dump(document))
    commit(place)
    home = tmp_path / "home"
    done = pre_commit(place, home, "run", "--all-files")
    assert done.returncode == 0, done.stdout
    assert "onnxq check" in done.stdout and "Passed" in done.stdout
    (place / "gates.yaml").write_text("size: {max_bytes: 100}\n")
    done = pre_commit(place, home, "run", "--all-files")
    assert done.returncode == 1
    assert "size.bytes" in done.stdout and "100 B allowed" in done.stdout
    (place / "model.onnx").unlink()
    subprocess.run(
        ["git", "rm", "-q", "--cached", "model.onnx"], cwd=place, env=clean(), check=True
    )
    done = pre_commit(place, home, "run", "--all-files")
    assert "no files to check" in done.stdout
