from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from onnxq.cli import main

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "check-1.json"


@pytest.fixture
def base(place):
    import onnx

    onnx.save(place.make_model(0), place / "base.onnx")
    return "base.onnx"


def gates(place, text: str) -> str:
    (place / "gates.yaml").write_text(text)
    return "gates.yaml"


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


@pytest.fixture
def run(place, monkeypatch, capsys) -> Callable[..., Called]:
    """The command in this process, which is much quicker than a new one."""
    monkeypatch.chdir(place.path)
    monkeypatch.setattr("onnxq.cli.running._prepare_process", lambda: None)

    def call(*arguments: object) -> Called:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Called(code, captured.out, captured.err)

    return call


def test_it_passes_and_says_so(place):
    done = place.run("check", "model.onnx")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("model.onnx: passed; ")
    for text in ("validity.loads", "numerics.fills", "skipped"):
        assert text in done.out


def test_every_output_in_one_run(place, base, run):
    config = gates(place, "size: {max_bytes: 100}\nparameters: {max_count: 1, severity: warning}\n")
    done = run(
        *("check", "model.onnx", "--baseline", base, "--config", config),
        *("--report", "check.json", "--junit", "check.xml", "--code-quality", "quality.json"),
        *("--annotations", "notes.txt", "--summary", "summary.md"),
    )
    assert done.code == 1, done.err
    assert "model.onnx against base.onnx: FAILED (size)" in done.out
    facts = json.loads((place / "check.json").read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(facts)
    assert facts["outcome"] == "failed" and facts["baseline"] == "base.onnx"
    root = ElementTree.fromstring((place / "check.xml").read_text())
    assert len(root.findall(".//failure")) == 1
    kinds = [line.split()[0] for line in (place / "notes.txt").read_text().splitlines()]
    assert kinds == ["::error", "::warning"]
    assert [e["severity"] for e in json.loads((place / "quality.json").read_text())] == [
        "critical",
        "minor",
    ]
    assert (place / "summary.md").read_text().startswith("## onnxq check: model.onnx FAILED")


def test_the_summary_is_shared(place, run):
    (place / "summary.md").write_text("of another step\n")
    assert run("check", "model.onnx", "--summary", "summary.md").code == 0
    assert (place / "summary.md").read_text().startswith("of another step\n## onnxq check: ")


def test_json_on_stdout_is_the_report(place, run):
    done = run("check", "model.onnx", "--json", "--report", "check.json")
    facts, report = json.loads(done.out), json.loads((place / "check.json").read_text())
    facts.pop("seconds"), report.pop("seconds")
    assert facts == report


def test_a_lock_file_is_written_and_serves(place, run):
    config = gates(place, "size: {max_growth: 0}\nbaseline: onnxq.lock.json\n")
    done = run("check", "model.onnx", "-c", config, "--update-baseline")
    assert done.code == 0, done.err
    first = (place / "onnxq.lock.json").read_text()
    done = run("check", "model.onnx", "-c", config)
    assert done.code == 0, done.err
    assert "against onnxq.lock.json: passed" in done.out
    assert run("check", "model.onnx", "-c", config, "--update-baseline").code == 0
    assert (place / "onnxq.lock.json").read_text() == first
    facts = json.loads(first)
    facts["figures"]["bytes"] -= 1
    (place / "onnxq.lock.json").write_text(json.dumps(facts))
    assert run("check", "model.onnx", "-c", config).code == 1


def test_undecided_fails_if_strict(place, base, run):
    config = gates(place, "latency: {seconds: 0.000001}\n")
    arguments = ("check", "model.onnx", "-b", base, "-c", config)
    assert run(*arguments).code == 0
    assert run(*arguments, "--strict").code == 1


def test_mistakes(place, base, run):
    place.failed(run("check", "no.onnx"), 3, "no such model file")
    place.failed(run("check", "model.onnx", "-b", "no.onnx"), 3, "no.onnx")
    place.failed(run("check", "model.onnx", "-b", "no.json"), 3, "--update-baseline")
    wrong = gates(place, "sise: {}\n")
    place.failed(run("check", "model.onnx", "-c", wrong), 2, "did you mean 'size'?")
    both = run("check", "model.onnx", "-b", base, "--update-baseline")
    place.failed(both, 2, "writes a lock file (.json)")
    same = run("check", "model.onnx", "--report", "model.onnx")
    place.failed(same, 2, "would overwrite")
    missing = gates(place, "evaluate: {data: no.npz}\n")
    place.failed(run("check", "model.onnx", "-c", missing), 3, "no.npz")


def test_the_schema_of_the_gates(place, run):
    schema = json.loads(run("config", "schema", "--of", "check").out)
    assert schema["title"] == "gates of onnxq check"
    assert json.loads(run("config", "schema").out)["title"] == "onnxq configuration"
