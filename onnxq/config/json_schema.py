"""The configuration as a JSON Schema, which editors use to complete and to check."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from onnxq.config.base import Block
from onnxq.config.gates import Gates
from onnxq.config.schema import Config
from onnxq.config.search import SearchConfig


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a configuration file, shorthand forms included.

    Rules about several keys at once, such as `random` against `data`, are not in it.
    """
    return _titled(Config, "onnxq configuration")


def gates_schema() -> dict[str, Any]:
    """The JSON Schema of the file with the gates of a check; the same holds for it."""
    return _titled(Gates, "gates of onnxq check")


def search_schema() -> dict[str, Any]:
    """The JSON Schema of the file with what a search may choose; the same holds for it."""
    return _titled(SearchConfig, "configuration of onnxq search")


def _titled(document: type[Block], title: str) -> dict[str, Any]:
    schema = document.model_json_schema(schema_generator=_Generator)
    head = {"$schema": _Generator.schema_dialect, "title": title}
    return {**head, **{key: value for key, value in schema.items() if key not in head}}


class _Generator(GenerateJsonSchema):
    """Without titles that only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # overrides
        return False
