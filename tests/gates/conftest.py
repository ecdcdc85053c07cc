"""What the tests of the gates share: a small model, and a runner for composite actions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from jsonschema import Draft202012Validator
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Gates
from onnxq.gates import Check, CheckResult, check
from onnxq.report import json_text

ROOT = Path(__file__).parents[2]

_SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,4,6,6] image) => (float[N,3] scores) {
    [conv] a = Conv <pads = [1,1,1,1]> (image, W, B)
    [relu] b = Relu (a)
    [pool] c = GlobalAveragePool (b)
    [flatten] d = Flatten (c)
    [dense] scores = Gemm <transB = 1> (d, V, C)
}
"""


@pytest.fixture
def small() -> Callable[..., onnx.ModelProto]:
    """A small float model with named nodes; the seed decides the weights."""

    def make(seed: int = 0, text: str = _SMALL) -> onnx.ModelProto:
        proto = parse_model(text)
        generator = np.random.default_rng(seed)
        for name, shape in (("W", (8, 4, 3, 3)), ("B", (8,)), ("V", (3, 8)), ("C", (3,))):
            value = generator.standard_normal(shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
        return proto

    return make


@dataclass(frozen=True)
class Step:
    """A step of an action that has run."""

    code: int
    out: str
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """An action that has run."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str

    @property
    def commands(self) -> list[str]:
        """The workflow commands that the runner obeys."""
        found, token = [], ""
        for line in self.log.splitlines():
            text = line.lstrip()
            if token:
                token = "" if text == f"::{token}::" else token
            elif text.startswith("::stop-commands::"):
                token = text.removeprefix("::stop-commands::")
            elif text.startswith("::"):
                found.append(text)
        return found


@dataclass
class CompositeRunner:
    """Runs the steps of a composite action as GitHub's runner does.

    Conditions, expressions in `env` and outputs are evaluated; each step is a file that
    `bash --noprofile --norc -eo pipefail` runs in the workspace; a step that fails ends the job.
    """

    workspace: Path
    temporary: Path
    environment: Mapping[str, str]
    steps: dict[str, Step] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def run(self, action: Path, **given: str) -> Done:
        document = yaml.safe_load(action.read_text())
        given = {name.replace("_", "-"): value for name, value in given.items()}
        assert set(given) <= set(document["inputs"])
        self.steps = {}
        self.inputs = {n: str(i.get("default", "")) for n, i in document["inputs"].items()} | given
        for name, entry in document["inputs"].items():
            assert self.inputs[name] or not entry.get("required"), name
        summary = self.temporary / "summary.md"
        summary.write_text("")
        log, code = "", 0
        for number, step in enumerate(document["runs"]["steps"]):
            if not self.value(step.get("if", "${{ success() }}"), action):
                continue
            done = self._step(step, action, summary, number)
            self.steps[step.get("id", str(number))] = done
            log, code = log + done.out, done.code
            if code:
                break
        outputs = {n: self.value(o["value"], action) for n, o in document["outputs"].items()}
        return Done(code, log, outputs, summary.read_text())

    def value(self, text: str, action: Path) -> str:
        """A text with its expressions evaluated; a false condition is empty."""
        return re.sub(r"\$\{\{(.*?)\}\}", lambda m: self._expression(m[1], action), text)

    def _expression(self, text: str, action: Path) -> str:
        for operator, holds in ((" == ", str.__eq__), (" != ", str.__ne__)):
            if operator in text:
                left, right = (self._expression(part, action) for part in text.split(operator))
                return "true" if holds(left, right) else ""
        return next((v for v in (self._atom(a.strip(), action) for a in text.split("||")) if v), "")

    def _atom(self, text: str, action: Path) -> str:
        if text.startswith("'"):
            return text.strip("'")
        match text.split("."):
            case ["success()"]:
                return "true"
            case ["github", "action_path"]:
                return str(action.parent)
            case ["inputs", name]:
                return self.inputs[name]
            case ["steps", name, "outputs", key]:
                return self.steps[name].outputs.get(key, "") if name in self.steps else ""
        raise AssertionError(f"unknown expression {text}")

    def _step(self, step: Mapping[str, Any], action: Path, summary: Path, number: int) -> Step:
        assert step["shell"] == "bash"
        # Text of the script that comes from outside could hold commands.
        assert "${{" not in step["run"]
        script = self.temporary / f"step{number}.sh"
        script.write_text(step["run"])
        outputs = self.temporary / f"outputs{number}"
        outputs.write_text("")
        given = {name: self.value(text, action) for name, text in step.get("env", {}).items()}
        runner = {
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.temporary),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env={**self.environment, **runner, **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = outputs.read_text().splitlines()
        return Step(done.returncode, done.stdout, dict(line.split("=", 1) for line in lines))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `onnxq` and `python` are those of the tests."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("onnxq", "-m onnxq "), ("python", "")):
        program = programs / name
        # Not a link: Python finds its virtual environment by the path it is called by.
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITHUB_"))}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def composite(tmp_path: Path, environment: Mapping[str, str]) -> Callable[[Path], CompositeRunner]:
    """A runner for a workspace."""

    def make(workspace: Path) -> CompositeRunner:
        temporary = tmp_path / "runner"
        temporary.mkdir()
        return CompositeRunner(workspace, temporary, environment)

    return make


OFF: dict[str, Any] = {"validity": None, "numerics": None, "structure": None}


@pytest.fixture
def place(tmp_path: Path, small: Callable[..., onnx.ModelProto]) -> Path:
    """A folder with `model.onnx`, an equal `base.onnx`, and labelled samples."""
    onnx.save(small(), tmp_path / "model.onnx")
    onnx.save(small(), tmp_path / "base.onnx")
    generator = np.random.default_rng(5)
    images = generator.standard_normal((20, 4, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", image=images, labels=generator.integers(0, 3, 20))
    return tmp_path


@pytest.fixture
def save() -> Callable[[Path, onnx.ModelProto], None]:
    """Put a model in the place of the one that is checked."""
    return lambda place, proto: onnx.save(proto, place / "model.onnx")


@pytest.fixture
def edited() -> Callable[..., None]:
    """Change a constant of a model in place."""

    def edit_one(proto: onnx.ModelProto, name: str, edit: Callable[[np.ndarray], Any]) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        value = numpy_helper.to_array(tensor).copy()
        edit(value)
        tensor.CopyFrom(numpy_helper.from_array(value, name))

    return edit_one


@pytest.fixture
def run() -> Callable[..., CheckResult]:
    """Check the model of a folder with the gates named; its JSON must follow the schema."""

    def judge(place: Path, *, baseline: str | None = "base.onnx", **gates: Any) -> CheckResult:
        path = None if baseline is None else place / baseline
        result = check(place / "model.onnx", baseline=path, gates=Gates(**{**OFF, **gates}))
        schema = json.loads((ROOT / "docs" / "schemas" / "check-1.json").read_text())
        Draft202012Validator(schema).validate(json.loads(json_text(result.to_dict())))
        return result

    return judge


@pytest.fixture
def one() -> Callable[[CheckResult, str], Check]:
    """The only finding of a title."""

    def find(result: CheckResult, title: str) -> Check:
        (found,) = (check for check in result.checks if check.title == title)
        return found

    return find


@pytest.fixture
def failed(one: Callable[[CheckResult, str], Check]) -> Callable[..., None]:
    """Assert that a finding failed, with texts and something to do."""

    def assert_failed(result: CheckResult, title: str, *texts: str) -> None:
        found = one(result, title)
        assert found.verdict.status == "failed", found
        assert found.verdict.remedy
        for text in texts:
            assert text in found.verdict.text

    return assert_failed
