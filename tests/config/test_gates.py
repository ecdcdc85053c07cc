"""The gates' configuration: read as its sister is, with errors as good, and published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from onnxq.config import Gates, gates_schema, read_gates
from onnxq.errors import ConfigError

ROOT = Path(__file__).parents[2]
VALID: list[dict[str, Any]] = [
    {},
    {"validity": None, "numerics": None, "structure": None},
    {"target": "qnn", "baseline": "onnxq.lock.json", "threads": 0, "seed": 3},
    {"evaluate": {"data": "a.npz", "labels": "y"}, "accuracy": {"max_drop": 0.01}},
    {"evaluate": {"data": "a", "labels": "y", "metric": "mse"}, "accuracy": {"minimum": 7.5}},
    {"size": {"max_growth": 0.05, "max_bytes": 1000, "severity": "warning"}},
    {"structure": {"sparsity": "2:4", "sparse_layers": ["conv", {"glob": "/a/*"}]}},
    {"lint": {"targets": ["tensorrt"], "min_share": 0.9}},
    {"dimensions": {"batch": 4}},
]
INVALID: list[tuple[dict[str, Any], str]] = [
    ({"latenci": {}}, "did you mean 'latency'?"),
    ({"size": {"max_grwth": 1}}, "did you mean 'max_growth'?"),
    ({"size": {"severity": "fatal"}}, "must be 'error' or 'warning', here 'fatal'"),
    ({"size": {"max_bytes": "10"}}, "must be an integer, here '10'; leave the quotes out"),
    ({"structure": {"sparsity": "4:2"}}, "'4:2' is no N:M with 0 < N < M"),
    ({"structure": {"sparsity": "half"}}, "'half' is no N:M with 0 < N < M"),
    ({"accuracy": {"max_drop": 0.01}}, "needs labels; set `evaluate.data`"),
    (
        {"evaluate": {"data": "a", "labels": "y"}, "accuracy": {"max_drop": 1.0}},
        "one point is 0.01",
    ),
    ({"integers": {"min_share": 90}}, "less than or equal to 1"),
    ({"latency": {"max_slowdown": -0.1}}, "greater than or equal to 0"),
    ({"lint": {"targets": []}}, "a list of at least 1"),
    ({"dimensions": {"batch": 0}}, "greater than or equal to 1"),
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(gates_schema())


def written(folder: Path, values: object, suffix: str) -> Path:
    path = folder / f"gates{suffix}"
    path.write_text(json.dumps(values) if suffix == ".json" else yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("values", VALID)
@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_valid(tmp_path: Path, validator: Any, values: dict[str, Any], suffix: str) -> None:
    validator.validate(values)
    loaded = read_gates(written(tmp_path, values, suffix)).config
    assert loaded == Gates(**values).resolved(tmp_path)


@pytest.mark.parametrize(("values", "text"), INVALID)
def test_invalid(tmp_path: Path, values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_gates(written(tmp_path, values, ".yaml"))
    assert text in str(caught.value)


def test_the_schema_knows_what_single_keys_may_hold(validator: Any) -> None:
    Draft202012Validator.check_schema(gates_schema())
    for values, _ in INVALID:
        crossing = "accuracy" in values or values.get("structure", {}).get("sparsity") == "4:2"
        assert crossing or not validator.is_valid(values), values


def test_every_key_is_described() -> None:
    schema = gates_schema()
    assert schema["title"] == "gates of onnxq check"
    for block in [schema, *schema["$defs"].values()]:
        assert block["description"]
        for name, field in block["properties"].items():
            assert "description" in field or "$ref" in field, name


def test_toml_and_places(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(
        'baseline = "old.onnx"\ntarget = "mine.toml"\n[evaluate]\ndata = "d.npz"\n'
        'labels = "y.csv"\n[lint]\ntargets = ["mine.toml", "qnn"]\n[size]\nmax_growth = 0.1\n'
    )
    gates = read_gates(path, {"threads": 2, "size.max_growth": 0.2}).config
    assert gates.baseline == str(tmp_path / "old.onnx")
    assert gates.target == str(tmp_path / "mine.toml")
    assert gates.evaluate.data == str(tmp_path / "d.npz")
    assert gates.evaluate.labels == str(tmp_path / "y.csv")
    assert gates.lint is not None and gates.lint.targets == (str(tmp_path / "mine.toml"), "qnn")
    assert gates.size is not None and gates.size.max_growth == 0.2
    assert gates.threads == 2


def test_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text("size:\n  max_growth: 0.1\n  max_bites: 3\n")
    with pytest.raises(ConfigError) as caught:
        read_gates(path)
    assert f"{path}:3: size.max_bites: unknown key" in str(caught.value)


def test_the_sample_is_valid(validator: Any) -> None:
    sample = ROOT / "samples" / "ci" / "gates.yaml"
    validator.validate(yaml.safe_load(sample.read_text()))
    gates = read_gates(sample).config
    assert gates.evaluate.data is not None and Path(gates.evaluate.data).exists()
