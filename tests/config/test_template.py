import re
from pathlib import Path

import yaml
from pydantic import BaseModel

from onnxq.config import Config, load_config, template
from onnxq.config.keys import flatten


def uncommented(text: str) -> str:
    """All examples put in force."""
    return re.sub(r"^( *)#(?=\S)", r"\1", text, flags=re.MULTILINE)


def loaded(directory: Path, text: str) -> Config:
    path = directory / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_it_parses_to_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, template()) == Config()


def test_its_examples_are_valid(tmp_path: Path) -> None:
    config = loaded(tmp_path, uncommented(template()))
    assert [str(rule.match) for rule in config.overrides] == ["glob '/head/*'"]
    assert config.first_layer is not None
    assert config.last_layer is not None
    assert config.calibration.preprocessing is not None


def test_it_has_every_key_once() -> None:
    keys = flatten(yaml.safe_load(uncommented(template())))
    for name, field in Config.model_fields.items():
        inner = field.default if isinstance(field.default, BaseModel) else None
        for key in type(inner).model_fields if inner is not None else ():
            assert any(known.startswith(f"{name}.{key}") for known in keys), f"{name}.{key}"
        assert any(known.startswith(name) for known in keys), name


def test_every_explanation_is_there() -> None:
    prose = " ".join(template().replace("#", " ").split())
    for field in Config.model_fields.values():
        assert " ".join((field.description or "?").split()) in prose
    assert "percentile: Percent of the values that stay inside the range. Default: 99.99" in prose


def test_lines_are_short() -> None:
    assert max(map(len, template().splitlines())) <= 100
