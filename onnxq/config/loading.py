"""Read a configuration from YAML, TOML or JSON, and remember where each value came from."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import yaml
from pydantic import ValidationError
from typing_extensions import TypeVar

from onnxq.config.gates import Gates
from onnxq.config.keys import flatten, is_within
from onnxq.config.problems import Origins, config_error
from onnxq.config.schema import Config
from onnxq.config.search import SearchConfig
from onnxq.config.yaml_reading import marked_reason, read_yaml
from onnxq.errors import ConfigError

COMMAND_LINE = "command line"

_LARGEST = 2_000_000
"""Bytes of a file."""

Document = TypeVar("Document", Config, Gates, SearchConfig, default=Config)
"""What a whole file may be checked against."""


@dataclass(frozen=True)
class LoadedConfig(Generic[Document]):
    """A configuration and the origin of every key that was set.

    Attributes:
        config: The checked values.
        origins: By dotted key, such as `calibration.method` → `c.yaml:12` or `command line`;
            the whole file has the empty key. Only YAML tells lines.
    """

    config: Document
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
        path: A .yaml, .yml, .toml or .json file, whose relative paths start at its own folder;
            None: defaults alone.
        command_line: Values by dotted key; None values are ignored, relative paths stay.

    Raises:
        ConfigError: with the origin, the key, and what is wrong.
    """
    return _read_document(Config, path, command_line or {})


def read_gates(
    path: str | Path | None, command_line: Mapping[str, object] | None = None
) -> LoadedConfig[Gates]:
    """Read the gates of a check; all else is as for `read_config`.

    Raises:
        ConfigError: with the origin, the key, and what is wrong.
    """
    return _read_document(Gates, path, command_line or {})


def read_search(
    path: str | Path | None, command_line: Mapping[str, object] | None = None
) -> LoadedConfig[SearchConfig]:
    """Read what a search may choose; all else is as for `read_config`.

    Raises:
        ConfigError: with the origin, the key, and what is wrong.
    """
    return _read_document(SearchConfig, path, command_line or {})


def with_command_line(
    loaded: LoadedConfig[Document], values: Mapping[str, object]
) -> LoadedConfig[Document]:
    """Set values by dotted key, such as `calibration.method`, on top of a configuration.

    Args:
        loaded: The configuration and its origins; it stays as it is.
        values: By dotted key; None values are ignored, relative paths stay. A list is replaced
            as a whole.

    Raises:
        ConfigError: with the origin, the key, and what is wrong.
    """
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        return loaded
    origins = loaded.origins
    merged = loaded.config.model_dump(exclude_unset=True)
    for key, value in given.items():
        _set(merged, key, value)
        origins = {old: origin for old, origin in origins.items() if not is_within(old, key)}
    origins = {**origins, **dict.fromkeys(given, COMMAND_LINE)}
    return LoadedConfig(_checked(type(loaded.config), merged, origins), origins)


def parse_config(
    values: Mapping[str, object], *, base_dir: str | Path | None = None, origin: str = ""
) -> Config:
    """Check a configuration given as nested mappings.

    Args:
        values: The mapping, as a file would hold it.
        base_dir: The directory relative paths start at; None: they stay.
        origin: What errors name as the place of the configuration.

    Raises:
        ConfigError: with the origin, the key, and what is wrong.
    """
    config = _checked(Config, dict(values), {"": origin})
    return config if base_dir is None else config.resolved(Path(base_dir))


def _read_document(
    schema: type[Document], path: str | Path | None, values: Mapping[str, object]
) -> LoadedConfig[Document]:
    found = LoadedConfig(schema(), {}) if path is None else _from_file(schema, Path(path))
    return with_command_line(found, values)


def _checked(schema: type[Document], data: dict[str, Any], origins: Origins) -> Document:
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise config_error(error, schema, origins) from None


def _set(data: dict[str, Any], key: str, value: object) -> None:
    *blocks, last = key.split(".")
    for block in blocks:
        # What is no block gives way: `weights.granularity.block` replaces `granularity: tensor`.
        if not isinstance(data.get(block), dict):
            data[block] = {}
        data = data[block]
    data[last] = value


def _from_file(schema: type[Document], path: Path) -> LoadedConfig[Document]:
    data, lines = _read(path)
    origins = {"": str(path), **{key: f"{path}:{line}" for key, line in lines.items()}}
    config = _checked(schema, data, origins).resolved(path.parent)
    return LoadedConfig(config, dict.fromkeys(flatten(data), str(path)) | origins)


def _read(path: Path) -> tuple[dict[str, Any], Mapping[str, int]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            "unknown kind of configuration file",
            where=str(path),
            remedy=f"use one of {', '.join(_READERS)}",
        )
    try:
        data, lines = reader(_text(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("configuration cannot be read", where=str(path), why=reason) from error
    except yaml.MarkedYAMLError as error:
        raise _unparsed(path, *marked_reason(error)) from error
    except json.JSONDecodeError as error:
        raise _unparsed(path, error.msg, error.lineno) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unparsed(path, " ".join(str(error).split()), None) from error
    if not isinstance(data, dict):
        raise ConfigError("configuration is not a mapping of keys", where=str(path))
    return data, lines


def _text(path: Path) -> str:
    """The text of a file, which may be a pipe or a device without an end.

    Raises:
        ConfigError: if it is too long.
        OSError: if it cannot be read.
        ValueError: if it is no UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ConfigError(
            "configuration is too long",
            where=str(path),
            why=f"more than {_LARGEST:,} bytes would take minutes to read",
            remedy="select layers by pattern (glob, regex, op_type) instead of by name",
        )
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _unparsed(path: Path, reason: str, line: int | None) -> ConfigError:
    where = str(path) if line is None else f"{path}:{line}"
    return ConfigError("configuration cannot be parsed", where=where, why=reason)


def _read_toml(text: str) -> tuple[Any, Mapping[str, int]]:
    return tomllib.loads(text), {}


def _read_json(text: str) -> tuple[Any, Mapping[str, int]]:
    return json.loads(text, object_pairs_hook=_without_duplicates), {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"key '{counts.most_common(1)[0][0]}' is given twice")
    return data


_READERS: dict[str, Callable[[str], tuple[Any, Mapping[str, int]]]] = {
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".toml": _read_toml,
    ".json": _read_json,
}
