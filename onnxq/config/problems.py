"""Pydantic's findings in the words of a person: place, reason, and the nearest known key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from onnxq.config.keys import blocks_around, nearest
from onnxq.config.places import Place, place_of
from onnxq.errors import ConfigError

Origins: TypeAlias = Mapping[str, str]

_LONGEST_VALUE = 60
_LONGEST_KEY = 200

_MOST_PROBLEMS = 30
"""So many are told of; a file with more is no configuration."""

_NEVER = {("activations", "granularity"): "activations have one scale per tensor"}
"""Keys that are looked for where they cannot be, and why."""

_WANTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "a mapping of keys",
    "model_attributes_type": "the name of a method or a mapping of keys",
}

_UNQUOTED = {
    _WANTED["int_type"]: re.compile(r"[-+]?\d+"),
    _WANTED["float_type"]: re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"),
    _WANTED["bool_type"]: re.compile("true|false"),
}
"""What a text looks like that was meant as the wanted kind of value."""


def config_error(
    error: ValidationError, schema: type[BaseModel], origins: Origins | None = None
) -> ConfigError:
    """One ConfigError for all findings.

    Args:
        error: What pydantic found.
        schema: The class the configuration was checked against.
        origins: Where a dotted key or the block around it was set, such as `c.yaml:12`; the
            whole file has the empty key.
    """
    found = _by_key(error.errors(include_url=False), schema)
    problems = [
        (_where(key, origins or {}), _reason(findings, schema))
        for key, findings in islice(found.items(), _MOST_PROBLEMS)
    ]
    if len(found) == 1:
        ((where, reason),) = problems
        return ConfigError(reason, where=where)
    lines = "".join(f"\n  {where}: {reason}" for where, reason in problems)
    more = f"\n  and {len(found) - len(problems)} more" if len(found) > len(problems) else ""
    return ConfigError(f"{len(found)} problems in the configuration{lines}{more}")


def _by_key(
    findings: Sequence[ErrorDetails], schema: type[BaseModel]
) -> dict[str, list[ErrorDetails]]:
    """The findings of each key.

    A value that fits no form of a union is found once per form. The form it was meant for is
    the one whose fault lies deepest.
    """
    grouped: dict[str, list[ErrorDetails]] = {}
    for finding in findings:
        grouped.setdefault(_place(finding, schema).key, []).append(finding)
    around = {outer for key in grouped for outer in blocks_around(key) if outer}
    return {key: found for key, found in grouped.items() if key not in around}


def _place(finding: ErrorDetails, schema: type[BaseModel]) -> Place:
    is_about_key = finding["type"] == "invalid_key"
    return place_of(schema, finding["loc"][:-1] if is_about_key else finding["loc"])


def _where(key: str, origins: Origins) -> str:
    named = _cut(key, _LONGEST_KEY)
    return ": ".join(part for part in (nearest(origins, key), named) if part) or "configuration"


def _reason(findings: list[ErrorDetails], schema: type[BaseModel]) -> str:
    """Why a value is wrong, from all forms it was tried as."""
    first = findings[0]
    if first["type"] == "extra_forbidden":
        block = place_of(schema, first["loc"][:-1])
        key = str(first["loc"][-1])
        why = _NEVER.get((block.key.rpartition(".")[2], key))
        return _unknown_key(key, block.known, why)
    if first["type"] == "missing":
        return "is missing"
    if first["type"] == "invalid_key":
        return f"keys must be text, here {_shown(first['input'])}; put it in quotes"
    wanted = [phrase for phrase in map(_wanted, findings) if phrase]
    if not wanted:
        message = first["msg"].removeprefix("Value error, ")
        return message if first["type"] == "value_error" else message[:1].lower() + message[1:]
    given = first["input"]["kind"] if first["type"] == "union_tag_invalid" else first["input"]
    text = " or ".join(dict.fromkeys(wanted))
    return f"must be {text}, here {_shown(given)}{_remedy(text, given)}"


def _wanted(finding: ErrorDetails) -> str:
    """What would have been right, as far as pydantic says so."""
    context = finding.get("ctx", {})
    if finding["type"] == "union_tag_not_found":
        return "the name of a method or a mapping with the key `kind`"
    if finding["type"] == "union_tag_invalid":
        return f"one of {context['expected_tags']}"
    if finding["type"] in ("too_short", "too_long"):
        bound, count = next((key, n) for key, n in context.items() if key.endswith("_length"))
        return f"a list of at {'least' if bound.startswith('min') else 'most'} {count}"
    _, is_expectation, rest = finding["msg"].partition("Input should be ")
    return _WANTED.get(finding["type"], rest if is_expectation else "")


def _remedy(wanted: str, given: object) -> str:
    if isinstance(given, str):
        if wanted in _UNQUOTED and _UNQUOTED[wanted].fullmatch(given):
            return "; leave the quotes out"
        return _suggestion(given, re.findall(r"'([^']+)'", wanted))
    if wanted == _WANTED["string_type"] and given is not None:
        return "; put it in quotes"
    if wanted == _WANTED["model_type"] and given is None:
        return "; leave the key out for the defaults"
    return ""


def _unknown_key(key: str, known: Sequence[str], why: str | None) -> str:
    hint = f"; {why};" if why else _suggestion(key, known)
    return f"unknown key '{_cut(key, _LONGEST_KEY)}'{hint or ';'} known keys: {', '.join(known)}"


def _suggestion(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _shown(value: object) -> str:
    """A value as it stands in the file, if that is short."""
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return _cut(text, _LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
