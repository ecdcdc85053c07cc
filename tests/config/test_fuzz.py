from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from onnxq.config import Config, effective, json_schema, load_config, parse_config, read_config
from onnxq.config.keys import flatten
from onnxq.errors import ConfigError

WORDS = sorted(
    {
        *(key for schema in json_schema()["$defs"].values() for key in schema["properties"]),
        *Config.model_fields,
        *("auto", "mse", "percentile", "tensor", "conv1", "a:b", "rgb", "x.npz", "x.toml", "top-1"),
    }
)
VALIDATOR = Draft202012Validator(json_schema())

words = st.sampled_from(WORDS)
scalars = (
    words
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
mappings = st.dictionaries(words | st.text(max_size=3), values, max_size=4)


def of_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that nearly fit a JSON Schema: right keys, and mostly right values."""
    if "$ref" in schema:
        return of_schema(json_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    forms = schema.get("anyOf") or schema.get("oneOf")
    if forms:
        return st.one_of(*(of_schema(form) for form in forms))
    if "properties" in schema:
        keys = {key: of_schema(inner) for key, inner in schema["properties"].items()}
        needed = {key: keys.pop(key) for key in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=keys)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema["type"] == "array":
        return st.lists(of_schema(schema.get("items", {"type": "integer"})), max_size=3)
    return {
        "integer": st.integers(2, 16),
        "number": st.floats(0.6, 1.0) | st.just(99.9),
        "boolean": st.booleans(),
        "string": words,
        "null": st.none(),
    }[schema["type"]]


@given(mappings)
@settings(max_examples=300, deadline=None)
def test_any_mapping_gives_a_config_or_a_config_error(mapping: dict[str, Any]) -> None:
    try:
        parse_config(mapping)
    except ConfigError as error:
        assert str(error)
    else:
        VALIDATOR.validate(mapping)


@given(of_schema(json_schema()))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_accepted_configurations_survive_a_round_trip(mapping: dict[str, Any]) -> None:
    try:
        config = parse_config(mapping)
    except ConfigError:
        return
    VALIDATOR.validate(mapping)
    assert parse_config(config.model_dump(mode="json")) == config


@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}*&<>!|#'\"1.e \n", max_size=60))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_gives_a_config_or_a_config_error(tmp_path: Path, text: str) -> None:
    for name in ("c.yaml", "c.toml", "c.json"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        try:
            load_config(path)
        except ConfigError as error:
            assert str(path) in str(error)


@given(st.dictionaries(st.sampled_from(sorted(flatten(Config().model_dump()))), values, max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_command_line_gives_a_config_or_a_config_error(given_values: dict[str, Any]) -> None:
    try:
        loaded = read_config(None, given_values)
    except ConfigError:
        return
    assert effective(loaded, {})
