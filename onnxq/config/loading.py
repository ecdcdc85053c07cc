"""Read a configuration from YAML, TOML or JSON, and remember where each value came from."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from onnxq.config.problems import config_error, flatten
from onnxq.config.schema import Config
from onnxq.config.yaml_reading import read_yaml
from onnxq.errors import ConfigError

Lines = Mapping[str, int]
Origins = Mapping[str, str]


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration and the origin of every key that was set.

    Attributes:
        config: The checked values.
        origins: By dotted key, such as `calibration.method` → `c.yaml:12`.
    """

    config: Config
    origins: Origins


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file; its relative paths start at its own folder.

    Raises:
        ConfigError: with the file, the key, the line where it is known, and what is wrong.
    """
    return read_config(path).config


def read_config(
    path: str | Path | None, command_line: Mapping[str, object] | None = None
) -> LoadedConfig:
    """Read a configuration file and set what the command line says on top.

    Args:
        path: A .yaml, .yml, .toml or .json file; None: defaults alone.
        command_line: Values by dotted key; None values are ignored.
    """
    data: dict[str, Any] = {}
    lines: Lines = {}
    origin = ""
    if path is not None:
        origin = str(path)
        data, lines = _read(Path(path))
    origins = {
        key: f"{origin}:{lines[key]}" if key in lines else origin for key in flatten(data) if key
    }
    config = _checked(data, origin, lines)
    if path is not None:
        config = config.resolved(Path(path).parent)
    given = {key: value for key, value in (command_line or {}).items() if value is not None}
    if given:
        merged = config.model_dump(exclude_unset=True)
        for key, value in given.items():
            _set(merged, key, value)
        config = _checked(merged, "command line", {})
    return LoadedConfig(config, {**origins, **dict.fromkeys(given, "command line")})


def parse_config(values: Mapping[str, object]) -> Config:
    """Check a configuration given as nested mappings."""
    return _checked(dict(values), "", {})


def _checked(data: dict[str, Any], origin: str, lines: Lines) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise config_error(error, Config, origin=origin, line_of=lines.get) from None


def _set(data: dict[str, Any], key: str, value: object) -> None:
    *blocks, last = key.split(".")
    for block in blocks:
        data = data.setdefault(block, {})
    data[last] = value


def _read(path: Path) -> tuple[dict[str, Any], Lines]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            "unknown kind of configuration file",
            where=str(path),
            remedy=f"use one of {', '.join(_READERS)}",
        )
    try:
        data, lines = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            "configuration cannot be read", where=str(path), why=error.strerror or str(error)
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            "configuration cannot be parsed", where=str(path), why=" ".join(str(error).split())
        ) from error
    if not isinstance(data, dict):
        raise ConfigError("configuration is not a mapping of keys", where=str(path))
    return data, lines


def _read_toml(text: str) -> tuple[Any, Lines]:
    return tomllib.loads(text), {}


def _read_json(text: str) -> tuple[Any, Lines]:
    return json.loads(text, object_pairs_hook=_without_duplicates), {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key '{next(k for k in keys if keys.count(k) > 1)}' is given twice")
    return data


_READERS: dict[str, Callable[[str], tuple[Any, Lines]]] = {
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".toml": _read_toml,
    ".json": _read_json,
}
