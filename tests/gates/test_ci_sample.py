"""`samples/ci` as it stands: its files name what is there, and its check passes on the sample."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CI = ROOT / "samples" / "ci"


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((CI / "workflow.yml").read_text())["jobs"][job][
        "steps"
    ]
    return found


def test_the_workflow_calls_the_action_as_it_is() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = (step for step in steps("check") if step.get("uses") == "./")
    assert set(step["with"]) <= set(action["inputs"])
    for name in ("model", "config"):
        assert (ROOT / step["with"][name]).exists()
    text = (CI / "workflow.yml").read_text()
    used = set(re.findall(rf"steps\.{step['id']}\.outputs\.(\w+)", text))
    assert used and used <= set(action["outputs"])


def test_the_commands_name_files_that_are_there() -> None:
    texts = [(CI / "gitlab-ci.yml").read_text(), (CI / "README.md").read_text()]
    texts += [step.get("run", "") for step in steps("quantize")]
    named = {n for text in texts for n in re.findall(r"samples/[\w./-]+\.(?:onnx|ya?ml|sh)", text)}
    assert len(named) >= 4
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_options_of_the_gitlab_job_are_known() -> None:
    from onnxq.cli.check import command

    document = yaml.safe_load((CI / "gitlab-ci.yml").read_text())["check-model"]
    (line,) = (line for line in document["script"] if line.startswith("onnxq check"))
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[\w-]+", line)) <= known
    reports = document["artifacts"]["reports"]
    assert reports["junit"] in line and reports["codequality"] in line


@pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("git") is None, reason="the action needs both"
)
def test_the_check_passes_on_the_sample(
    tmp_path: Path, environment: dict[str, str], composite: Callable[[Path], Any]
) -> None:
    place = tmp_path / "repository"
    for name in ("ci", "digits"):
        shutil.copytree(ROOT / "samples" / name, place / "samples" / name)
    settings = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    commands = (("init", "-q", "-b", "main"), ("add", "."), (*settings, "commit", "-qm", "all"))
    for command in commands:
        subprocess.run(["git", *command], cwd=place, env=environment, check=True)
    (step,) = (step for step in steps("check") if step.get("uses") == "./")
    given = {name.replace("-", "_"): value for name, value in step["with"].items()}
    given["baseline_ref"] = "main"
    done = composite(place).run(ROOT / "action.yml", **given, install="false")
    assert (done.code, done.outputs["outcome"]) == (0, "passed"), done.log
    assert "accuracy.drop" in done.log and "latency.slowdown" in done.log
    assert not [command for command in done.commands if command.startswith("::error")]
