import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from onnxq.config import Config, json_schema, parse_config, template
from onnxq.errors import ConfigError

VALID: list[dict[str, Any]] = [
    {},
    {"weights": {"bits": 4, "granularity": "tensor"}},
    {"weights": {"granularity": {"block": 32}}},
    {"calibration": {"method": "auto"}},
    {"calibration": {"method": "min-max", "samples": 3}},
    {"calibration": {"method": {"kind": "percentile", "percentile": 99}}},
    {"calibration": {"method": {"kind": "auto", "candidates": ["mse", {"kind": "entropy"}]}}},
    {"calibration": {"preprocessing": {"resize": 256, "crop": [224, 224], "mean": [0.5, 0.5]}}},
    {"calibration": {"preprocessing": {"resize": [256, 256], "mean": 0}}},
    {"skip": ["conv1", {"glob": "*"}, {"regex": "a+"}, {"op_type": "Gemm"}, {"name": "a"}]},
    {"overrides": [{"match": {"glob": "*"}, "weights": {"bits": 4}}, {"match": "a"}]},
    {"first_layer": {"keep_float": True}, "last_layer": None, "bias": "float"},
    {"budget": {"min_speedup": None, "max_drop": 0.01, "metric": "cosine"}},
]
INVALID: list[dict[str, Any]] = [
    {"wieghts": {}},
    {"weights": None},
    {"weights": {"bits": 17}},
    {"weights": {"bits": "8"}},
    {"weights": {"granularity": "chanel"}},
    {"weights": {"granularity": {"block": 1}}},
    {"weights": {"granularity": {}}},
    {"calibration": {"method": "entropie"}},
    {"calibration": {"method": {"kind": "mse", "percentile": 99}}},
    {"calibration": {"method": {"percentile": 99}}},
    {"calibration": {"method": {"kind": "percentile", "percentile": 101}}},
    {"calibration": {"method": {"kind": "auto", "candidates": ["auto"]}}},
    {"calibration": {"samples": 0}},
    {"calibration": {"preprocessing": {"crop": [1, 2, 3]}}},
    {"calibration": {"preprocessing": {"crop": [1]}}},
    {"skip": "conv1"},
    {"skip": [3]},
    {"skip": [{}]},
    {"skip": [{"glob": "*", "name": "a"}]},
    {"overrides": [{"bias": "int32"}]},
    {"overrides": [{"match": "a", "bits": 4}]},
    {"budget": {"max_drop": -1}},
    {"seed": True},
]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def test_it_is_a_schema_with_a_head(validator: Draft202012Validator) -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert list(schema)[:2] == ["$schema", "title"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "onnxq configuration"
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_is_described() -> None:
    schema = json_schema()
    for block in [schema, *schema["$defs"].values()]:
        assert block["description"]
        for name, field in block["properties"].items():
            assert name == "kind" or "description" in field or "$ref" in field, name


@pytest.mark.parametrize("values", VALID)
def test_valid_configurations(validator: Draft202012Validator, values: dict[str, Any]) -> None:
    parse_config(values)
    validator.validate(values)


@pytest.mark.parametrize("values", INVALID)
def test_invalid_configurations(validator: Draft202012Validator, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_config(values)
    assert not validator.is_valid(values)


def test_the_template_and_the_defaults_are_valid(validator: Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(template()))
    validator.validate(Config().model_dump(mode="json"))
    for key, field in json_schema()["properties"].items():
        assert "default" in field, key
