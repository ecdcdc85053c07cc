"""Pydantic's findings in the words of a person: key, reason, and the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from onnxq.errors import ConfigError

Location = tuple[int | str, ...]


def config_error(
    error: ValidationError,
    schema: type[BaseModel],
    *,
    origin: str,
    line_of: Callable[[str], int | None] = lambda _: None,
) -> ConfigError:
    """One ConfigError for all findings, a line each.

    Args:
        error: What pydantic found.
        schema: The class the configuration was checked against.
        origin: The file, for the message.
        line_of: The line of a dotted key, where the file's format tells.
    """
    lines: dict[str, str] = {}
    for finding in error.errors(include_url=False):
        key = _key(finding["loc"])
        line = line_of(key)
        where = key if line is None else f"{key} (line {line})"
        # A value that fits no form of a union is found once per form: the first one says it.
        lines.setdefault(where, _reason(dict(finding), schema))
    text = "\n  ".join(f"{where}: {reason}" if where else reason for where, reason in lines.items())
    head = text if len(lines) == 1 else f"{len(lines)} problems\n  {text}"
    return ConfigError(head, where=origin)


def _key(location: Location) -> str:
    """A dotted key; tags of unions, which pydantic puts in between, are left out."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and part.islower():
            text += f".{part}" if text else part
    return text


def _reason(finding: dict[str, Any], schema: type[BaseModel]) -> str:
    if finding["type"] == "extra_forbidden":
        return _unknown_key(str(finding["loc"][-1]), known_keys(schema, finding["loc"][:-1]))
    message = str(finding["msg"]).removeprefix("Value error, ")
    given = finding.get("input")
    if isinstance(given, str | int | float | bool) and finding["type"] != "value_error":
        return f"{message[:1].lower()}{message[1:]}, here {given!r}"
    return message


def _unknown_key(key: str, known: Iterable[str]) -> str:
    allowed = sorted(known)
    near = difflib.get_close_matches(key, allowed, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown key '{key}'{hint} Known keys: {', '.join(allowed)}"


def known_keys(schema: type[BaseModel], location: Location) -> list[str]:
    """The keys of the block at a location, as far as the schema's types tell."""
    block = schema
    for part in location:
        if isinstance(part, int) or part not in block.model_fields:
            continue
        found = [t for t in _models(block.model_fields[part].annotation)]
        if found:
            block = found[0]
    return list(block.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The model classes inside a type, however it is wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models(inner)]


def flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Nested mappings as dotted keys; lists stay values."""
    if not isinstance(value, Mapping) or (prefix and not value):
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
