"""Every value that is in force, and who set it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxq.config.formats import LayerRule
from onnxq.config.keys import flatten, nearest
from onnxq.config.loading import LoadedConfig

DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """One value in force.

    Attributes:
        key: Its dotted key.
        value: A scalar, a tuple of scalars, or None.
        origin: `c.yaml:12`, `command line`, `target ort-cpu` or `default`.
    """

    key: str
    value: object
    origin: str


def effective(loaded: LoadedConfig, target_defaults: Mapping[str, object]) -> list[Setting]:
    """Every value in force, in the order of the schema.

    Of the rules for single layers only what they set is listed, as the rest is inherited.

    Args:
        loaded: The configuration and its origins.
        target_defaults: What the target decides where the configuration says nothing, by
            dotted key such as `weights.bits`.
    """
    given = flatten(loaded.config.model_dump(exclude_unset=True))
    return [
        _setting(loaded, key, value, target_defaults, is_given=key in given)
        for key, value in flatten(_values(loaded)).items()
    ]


def _setting(
    loaded: LoadedConfig,
    key: str,
    value: object,
    target_defaults: Mapping[str, object],
    *,
    is_given: bool,
) -> Setting:
    if value is None and key in target_defaults:
        return Setting(key, target_defaults[key], f"target {loaded.config.target}")
    origin = nearest(loaded.origins, key) if is_given else ""
    return Setting(key, value, origin or DEFAULT)


def _values(loaded: LoadedConfig) -> dict[str, object]:
    return {
        name: _without_inherited(value, dumped)
        for (name, value), dumped in zip(
            loaded.config, loaded.config.model_dump().values(), strict=True
        )
    }


def _without_inherited(value: object, dumped: object) -> object:
    if isinstance(value, LayerRule):
        return value.model_dump(exclude_none=True)
    if isinstance(value, tuple) and isinstance(dumped, tuple):
        return tuple(map(_without_inherited, value, dumped))
    return dumped
