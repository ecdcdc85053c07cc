"""Dotted keys, such as `overrides[0].weights.bits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Nested values by dotted key; lists without a mapping in them, and empty ones, stay values."""
    items = list(_items(value, prefix))
    if not items:
        return {prefix: value} if prefix else {}
    flat: dict[str, object] = {}
    for key, inner in items:
        flat.update(flatten(inner, key))
    return flat


def nearest(values: Mapping[str, str], key: str) -> str:
    """The value of a key or of the innermost block around it that has one; else an empty text."""
    around = (key, *blocks_around(key))
    return next((values[place] for place in around if place in values), "")


def is_within(key: str, block: str) -> bool:
    """Whether a key lies in a block or list."""
    return key.startswith((f"{block}.", f"{block}["))


def blocks_around(key: str) -> Iterator[str]:
    """The blocks and lists that a key lies in, from the innermost to the whole file."""
    while key:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
        yield key


def joined(prefix: str, key: object) -> str:
    """The dotted key of something in a block."""
    return f"{prefix}.{key}" if prefix else str(key)


def _items(value: object, prefix: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((joined(prefix, key), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        yield from ((f"{prefix}[{index}]", inner) for index, inner in enumerate(value))
