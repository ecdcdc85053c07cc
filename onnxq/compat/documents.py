"""Dictionaries of other tools: YAML, JSON, TOML or a Python literal, with the line of each key."""

from __future__ import annotations

import ast
import difflib
import json
import textwrap
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from onnxq.config import read_yaml
from onnxq.errors import ConfigError

_PYTHON = (".py", ".txt", "")


@dataclass(frozen=True)
class Document:
    """A dictionary and where it came from.

    Attributes:
        values: The dictionary.
        path: The file.
        lines: `file:line` by dotted key.
    """

    values: Mapping[str, Any]
    path: str
    lines: Mapping[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """The line and the name of a key, or of the block around it that has one."""
        around = key
        while around not in self.lines and around:
            around = around[: max(around.rfind("."), around.rfind("["), 0)]
        return f"{self.lines.get(around, self.path)}: {key}"

    def check_keys(self, block: Mapping[str, Any], known: Collection[str], prefix: str) -> None:
        """Refuse keys that are not known.

        Raises:
            ConfigError: with the nearest known key.
        """
        for key in block:
            if key not in known:
                near = difflib.get_close_matches(str(key), list(known), 1)
                raise ConfigError(
                    f"unknown key '{key}'",
                    where=self.where(f"{prefix}.{key}" if prefix else str(key)),
                    why=f"known are {', '.join(known)}",
                    remedy=f"did you mean '{near[0]}'?" if near else "",
                )

    def wrong(self, key: str, what: str, remedy: str = "") -> ConfigError:
        """An error about a key's value."""
        return ConfigError(what, where=self.where(key), remedy=remedy)


def read_document(text: str, path: str) -> Document | None:
    """The dictionary that a text is; None if it is none, or has faults that its reader tells."""
    suffix = Path(path).suffix.lower()
    found = _read_python(text) if suffix in _PYTHON else None
    if found is None:
        found = _read_data(text, suffix)
    if found is None:
        return None
    values, lines = found
    if isinstance(values, list):
        # NNI's list may stand alone.
        lines = {f"config_list{key}": line for key, line in lines.items()}
        values = {"config_list": values}
    if not isinstance(values, dict):
        return None
    return Document(values, path, {key: f"{path}:{line}" for key, line in lines.items()})


_Found = tuple[Any, Mapping[str, str]]


def _read_data(text: str, suffix: str) -> _Found | None:
    try:
        if suffix == ".toml":
            return tomllib.loads(text), {}
        values, lines = read_yaml(text)
        return values, {key: str(line) for key, line in lines.items()}
    except (yaml.YAMLError, ValueError, RecursionError):
        pass
    try:
        return (json.loads(text), {}) if suffix == ".json" else None
    except (ValueError, RecursionError):
        return None


def _read_python(text: str) -> _Found | None:
    """`name = {…}` lines, or a single literal; `{` and `}` around all of them are left out."""
    for source in (text, textwrap.dedent(_without_braces(text))):
        try:
            return _assigned(ast.parse(source).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _without_braces(text: str) -> str:
    """The text between the outermost braces, every line where it was."""
    first, last = text.find("{"), text.rfind("}")
    return f"{text[:first]}{text[first + 1 : last]}" if first >= 0 else text


def _assigned(body: list[ast.stmt]) -> _Found | None:
    values: dict[str, Any] = {}
    lines: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, ast.Expr) and len(body) == 1:
            return ast.literal_eval(statement.value), dict(_lines(statement.value, ""))
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return None
        (target,) = statement.targets
        if not isinstance(target, ast.Name):
            return None
        value = ast.literal_eval(statement.value)
        if target.id == "config" and isinstance(value, dict) and len(body) == 1:
            return value, dict(_lines(statement.value, ""))
        values[target.id] = value
        lines[target.id] = f"{statement.lineno}:{statement.col_offset + 1}"
        lines.update(_lines(statement.value, target.id))
    return (values, lines) if values else None


def _lines(node: ast.expr, prefix: str) -> Iterator[tuple[str, str]]:
    for name, place, value in _children(node, prefix):
        yield name, f"{place.lineno}:{place.col_offset + 1}"
        yield from _lines(value, name)


def _children(node: ast.expr, prefix: str) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield f"{prefix}.{key.value}" if prefix else str(key.value), key, value
    if isinstance(node, ast.List | ast.Tuple):
        for number, value in enumerate(node.elts):
            yield f"{prefix}[{number}]", value, value
