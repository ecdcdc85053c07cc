"""Find and read target files."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from onnxq.errors import ConfigError
from onnxq.targets.target import Target


def target_names() -> list[str]:
    """The bundled targets."""
    files = resources.files(__package__).iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_target(name: str) -> Target:
    """Read a target by its bundled name or from the path of a TOML file.

    A file may say `extends = "ort-cpu"` and give only what differs; a path there is relative
    to the file.

    Raises:
        ConfigError: if there is none, or it does not follow the schema.
    """
    data = _resolved(name, Path(), ())
    try:
        return Target.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"bad target: {first['msg']}", where=f"{name}: {key}", remedy="see docs/targets.md"
        ) from error


def _resolved(name: str, folder: Path, above: tuple[str, ...]) -> dict[str, object]:
    """The content of a target with what it extends; `above` are those that extend it."""
    origin = str(folder / name) if name.endswith(".toml") else name
    if origin in above:
        raise ConfigError(
            f"target '{origin}' extends itself",
            where="target",
            why=" extends ".join((*above, origin)),
            remedy="let one of them stand alone",
        )
    data = _read(origin)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise ConfigError("`extends` is not a name", where=origin, remedy='extends = "ort-cpu"')
    return _merge(_resolved(base, Path(origin).parent, (*above, origin)), data)


def _read(origin: str) -> dict[str, object]:
    try:
        text = (
            Path(origin).read_text(encoding="utf-8")
            if origin.endswith(".toml")
            else _bundled(origin)
        )
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            "target file cannot be read", where=origin, why=error.strerror or str(error)
        ) from error
    except ValueError as error:
        # Neither UTF-8 nor TOML: both errors are ValueErrors.
        raise ConfigError("is not TOML", where=origin, why=str(error)) from error


def _bundled(name: str) -> str:
    if name in target_names():
        file = resources.files(__package__).joinpath(f"{name}.toml")
        return file.read_text(encoding="utf-8")
    near = difflib.get_close_matches(name, target_names(), 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise ConfigError(
        f"unknown target '{name}'",
        where="target",
        remedy=f"{hint}choose one of {', '.join(target_names())}, or the path of a .toml file",
    )


def _merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """`base` with what `over` gives; a rule of another role replaces the one before it."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged_table(known, value) if both else value
    return merged


def _merged_table(known: object, value: object) -> object:
    assert isinstance(known, Mapping)
    assert isinstance(value, Mapping)
    if value.get("role", known.get("role")) != known.get("role"):
        return value
    return _merge(known, value)
