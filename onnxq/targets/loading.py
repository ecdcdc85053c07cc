"""Find and read target files."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from onnxq.errors import ConfigError
from onnxq.targets.target import Target


def target_names() -> list[str]:
    """The bundled targets."""
    files = resources.files(__package__).iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


@cache
def load_target(name: str) -> Target:
    """Read a target by its bundled name or from the path of a TOML file.

    A file may say `extends = "ort-cpu"` and give only what differs.

    Raises:
        ConfigError: if there is none, or it does not follow the schema.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return _parse(_read(path), str(path))
    if name not in target_names():
        near = difflib.get_close_matches(name, target_names(), 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(
            f"unknown target '{name}'",
            where="target",
            remedy=f"{hint}choose one of {', '.join(target_names())}, or the path of a .toml file",
        )
    return _parse(resources.files(__package__).joinpath(f"{name}.toml").read_text(), name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("target file cannot be read", where=str(path), why=str(error)) from error


def _parse(text: str, origin: str) -> Target:
    try:
        data = tomllib.loads(text)
        base = data.pop("extends", None)
        if base is not None:
            data = _merge(load_target(base).model_dump(exclude_unset=True), data)
        return Target.model_validate(data)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("is not TOML", where=origin, why=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"bad target: {first['msg']}", where=f"{origin}: {key}", remedy="see docs/targets.md"
        ) from error


def _merge(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        merged[key] = _merge(known, value) if both else value  # type: ignore[arg-type]
    return merged
